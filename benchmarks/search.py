"""Training steps that a search takes to the best validation loss of a random one: TPE with pruning against random.

    python -m benchmarks.search [--quick] [--seeds 10] [--trials 30]

Each seed is one search by each arm with the same budget, the training steps of 30 whole trials: random without
pruning, TPE with the median pruner, TPE with Hyperband; what pruning saves goes into more trials. A trial is a real
training: a small Llama (transformers) with random weights learns the sample data of datasets/ for 60 steps, with
learning rate, batch size, schedule, warm-up, weight decay and clipping as the trial says. For each seed the benchmark
prints how many training steps of all its trials together an arm had taken when one of its finished trials was as good
as the best of the random search, as a share

    of the steps of the whole random search (its budget), and
    of the steps that the random search itself had taken when it found its best.

An arm that does not get there counts as infinite. The same is printed a second time for the first 30 trials of each
arm alone, pruned ones among them: what TPE comes to without the trials that pruning pays for.

Each arm's sampler has a seed of its own, so that no two arms begin with the same points; the seed of the trainings is
the same for all arms. One short cut: a training is decided by its settings and seed alone, so one that is asked for
twice is not done again.

What is left out is what a search costs beside training; `tests/flows` and docs/tuning.md have that.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmops.finetuning import ScratchRecipe, TrainingConfig, resolve_base_model
from llmops.tuning import Search, SearchConfig, TrialOutcome

SAMPLES = Path(__file__).parents[1] / "datasets" / "support_tickets.jsonl"
RECIPE = ScratchRecipe(vocabulary=400, hidden=32, layers=1, heads=2, intermediate=64, positions=48)
STEPS = 60
EVALUATE_EVERY = 6
VALIDATION_EXAMPLES = 48
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": [4, 8, 16],
    "schedule": ["cosine", "linear", "constant"],
    "warmup_ratio": {"low": 0.0, "high": 0.3},
    "weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
}
ARMS = {
    "random": {"sampler": "random", "pruner": "none"},
    "tpe + median": {"sampler": "tpe", "pruner": "median"},
    "tpe + hyperband": {"sampler": "tpe", "pruner": "hyperband"},
}


class Task:
    """The training that every trial is: data and model are the same for all."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer

        torch.set_num_threads(1)
        rows = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
        texts = [f"{row['input']}\n{row['expected']}" for row in rows]
        self._base = resolve_base_model("scratch", models_dir=folder, scratch=RECIPE, texts=texts).path
        tokenizer = AutoTokenizer.from_pretrained(self._base)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        encoded = tokenizer(texts, truncation=True, max_length=RECIPE.positions, padding="max_length")
        ids, mask = torch.tensor(encoded["input_ids"]), torch.tensor(encoded["attention_mask"])
        order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
        self._ids, self._labels = ids[order], ids[order].masked_fill(mask[order] == 0, -100)
        self._known: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.trainings = 0

    def losses(self, config: TrainingConfig) -> Iterator[tuple[int, float]]:
        """The validation loss every few steps; what nobody asks for is not trained."""
        key = config.model_dump_json()
        known = self._known.setdefault(key, [])
        running: Iterator[float] | None = None
        for place in range(STEPS // EVALUATE_EVERY):
            if place == len(known):
                if running is None:
                    running = self._train(config)
                    for _ in known:
                        next(running)
                began = time.perf_counter()
                known.append(next(running))
                self.seconds += time.perf_counter() - began
            yield (place + 1) * EVALUATE_EVERY, known[place]

    def _train(self, config: TrainingConfig) -> Iterator[float]:
        import torch
        from transformers import AutoModelForCausalLM, get_scheduler

        self.trainings += 1
        torch.manual_seed(config.seed)
        model = AutoModelForCausalLM.from_pretrained(self._base)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        warmup = round(config.warmup_ratio * STEPS)
        # A schedule of the given name has no warm-up where it is constant.
        name = "constant_with_warmup" if config.schedule == "constant" else config.schedule
        schedule = get_scheduler(name, optimizer, warmup, STEPS)
        generator = torch.Generator().manual_seed(config.seed)
        for step in range(1, STEPS + 1):
            chosen = torch.randint(VALIDATION_EXAMPLES, len(self._ids), (config.batch_size,), generator=generator)
            loss = model(input_ids=self._ids[chosen], labels=self._labels[chosen]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % EVALUATE_EVERY == 0:
                with torch.no_grad():
                    ids, labels = self._ids[:VALIDATION_EXAMPLES], self._labels[:VALIDATION_EXAMPLES]
                    yield float(model(input_ids=ids, labels=labels).loss)


@dataclass(frozen=True)
class Course:
    """One search: after how many trials, and training steps of all of them together, the best loss became what.

    Attributes:
        ends: of each trial in its order, the steps of all trials up to its end and its loss; infinite where it was
            pruned or diverged.
        pruned: how many were.
    """

    ends: list[tuple[int, float]]
    pruned: int

    def first(self, trials: int) -> "Course":
        """The same search, had it ended after so many trials."""
        return Course(self.ends[:trials], self.pruned)

    @property
    def steps(self) -> int:
        """Of all trials."""
        return self.ends[-1][0] if self.ends else 0

    @property
    def best(self) -> float:
        """Lowest loss of a finished trial."""
        return min((loss for _, loss in self.ends), default=math.inf)

    def steps_to(self, loss: float) -> float:
        """Steps until a finished trial was that good; infinite where none was."""
        return next((float(steps) for steps, found in self.ends if found <= loss), math.inf)


def run_search(task: Task, arm: dict[str, str], trials: int, seed: int, sampler_seed: int, folder: Path) -> Course:
    """One search to its end."""
    # More trials than steps for them: the steps are the budget.
    config = SearchConfig.model_validate({**arm, "trials": 4 * trials, "seed": sampler_seed, "space": SPACE})
    training = TrainingConfig(method="full", max_steps=STEPS, seed=seed)
    search = Search(folder, config, training)
    ends: list[tuple[int, float]] = []
    steps = pruned = 0
    while steps < trials * STEPS and (trial := search.claim()) is not None:
        settings = TrainingConfig.model_validate({**training.model_dump(), **trial.values})
        done, loss, prune = 0, math.inf, False
        for done, loss in task.losses(settings):
            if not math.isfinite(loss) or (prune := trial.report(done, loss, STEPS)):
                break
        steps += done
        outcome = TrialOutcome(loss, seconds=0.0, tokens=0, steps=done)
        if prune:
            pruned += 1
            search.prune(trial, outcome)
        else:
            search.finish(trial, outcome)  # one that is not finite counts as diverged
        ends.append((steps, loss if not prune and math.isfinite(loss) else math.inf))
    return Course(ends, pruned)


@dataclass
class Reading:
    """What is compared over all seeds: steps to the best of the random search, as shares of its steps."""

    title: str
    of_budget: dict[str, list[float]]
    of_found: dict[str, list[float]]

    @classmethod
    def titled(cls, title: str) -> "Reading":
        """One without figures yet."""
        return cls(title, {name: [] for name in ARMS}, {name: [] for name in ARMS})

    def add(self, courses: dict[str, Course]) -> None:
        """The figures of one seed."""
        random = courses["random"]
        for name, course in courses.items():
            reached = course.steps_to(random.best)
            self.of_budget[name].append(reached / random.steps)
            self.of_found[name].append(reached / random.steps_to(random.best))

    def print(self, seeds: int) -> None:
        """Medians over the seeds."""
        print(f"\n{self.title}: median over {seeds} seeds of the steps to the best loss of the random search")
        for name in ARMS:
            reached = sum(map(math.isfinite, self.of_budget[name]))
            print(
                f"  {name:<16} {statistics.median(self.of_budget[name]):.3f} of the whole random search, "
                f"{statistics.median(self.of_found[name]):.3f} of its steps to its best; reached {reached} times"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 seeds of 12 trials")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args()
    seeds, trials = (3, 12) if options.quick else (options.seeds, options.trials)
    by_steps = Reading.titled(f"With the steps of {trials} whole trials")
    by_trials = Reading.titled(f"With at most {trials} trials")
    columns = f"{'seed':>4} {'arm':<16} {'best loss':>9} {'steps':>6} {'trials':>6} {'pruned':>6}"
    print(f"{columns} {'of budget':>9} {'of found':>9} {'of budget, trials':>17}")
    with tempfile.TemporaryDirectory() as place:
        task = Task(Path(place) / "models")
        for seed in range(seeds):
            courses = {
                name: run_search(task, arm, trials, seed, len(ARMS) * seed + number, Path(place) / f"{seed}-{number}")
                for number, (name, arm) in enumerate(ARMS.items())
            }
            by_steps.add(courses)
            by_trials.add({name: course.first(trials) for name, course in courses.items()})
            for name, course in courses.items():
                figures = [f"{course.best:9.4f}", f"{course.steps:6}", f"{len(course.ends):6}", f"{course.pruned:6}"]
                shares = [f"{by_steps.of_budget[name][-1]:9.3f}", f"{by_steps.of_found[name][-1]:9.3f}"]
                print(f"{seed:4} {name:<16}", *figures, *shares, f"{by_trials.of_budget[name][-1]:17.3f}", flush=True)
    by_steps.print(seeds)
    by_trials.print(seeds)
    print(f"{task.trainings} trainings, {task.seconds / max(1, task.trainings):.2f} s each")


if __name__ == "__main__":
    main()
