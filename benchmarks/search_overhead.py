"""What a search costs beside its trainings: time and processor time a trial, on SQLite and on PostgreSQL.

    python -m benchmarks.search_overhead [--quick] [--trials 10] [--rounds 3]

A round is a search by the flow `tune`, as people run it (claims, MLflow runs with their curves, Prefect's task runs and
progress, pictures and report at the end), and after it the very trainings of its trials once more by
`llmops.finetuning.train` alone, in the same process. What the search took more, by the number of its trials, is its
overhead; a search of a single trial in each round tells how much of that one trial more adds. Trials are short
trainings of a toy model, each with ten validations and ten checkpoints: what a search adds does not depend on the
model. Before the first round a search of one trial imports everything.

Processor time is that of this process and of all below it: Prefect's server and PostgreSQL too. PostgreSQL holds the
trials (`search.storage`) where it can be started here; MLflow is on SQLite in both cases. Seconds of the search include
waiting for the disk; the medians over the rounds are compared with the target.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = 1.0  # seconds a trial
KINDS = {"wall": "time", "processor": "processor time"}
STEPS = 10
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-3, "high": 1e-1, "log": True},
    "warmup_ratio": {"low": 0.0, "high": 0.3},
}


@dataclass
class Took:
    """Seconds, and seconds of processor time."""

    wall: float = 0.0
    processor: float = 0.0


@contextmanager
def measured() -> Iterator[Took]:
    """How long the block takes."""
    took = Took()
    wall, processor = time.perf_counter(), processor_seconds()
    yield took
    took.wall, took.processor = time.perf_counter() - wall, processor_seconds() - processor


def processor_seconds() -> float:
    """Of this process and of all below it, those that have ended among them."""
    import psutil

    me = psutil.Process()
    # user, system, and the same of children that have ended
    return float(sum(sum(one.cpu_times()[:4]) for one in (me, *me.children(recursive=True))))


@dataclass
class Round:
    """A search of many trials, the trainings of these alone, and a search of a single trial."""

    trials: int
    search: Took
    trainings: Took
    single: Took

    def whole(self, kind: str) -> float:
        """What the search took more than its trainings, pictures and report among it, by the number of its trials."""
        return float(getattr(self.search, kind) - getattr(self.trainings, kind)) / self.trials

    def further(self, kind: str) -> float:
        """What each trial after the first took more than its training: nothing that a search does once."""
        search, trainings, single = (getattr(one, kind) for one in (self.search, self.trainings, self.single))
        return float((search - single) / (self.trials - 1) - trainings / self.trials)


def lines(storage: str, rounds: Sequence[Round]) -> Iterator[str]:
    """The medians over the rounds of one storage, as rows of the table."""
    for kind in ("wall", "processor"):
        shares = [
            statistics.median(getattr(took, kind) / one.trials for one, took in zip(rounds, every, strict=True))
            for every in ([one.search for one in rounds], [one.trainings for one in rounds])
        ]
        whole = statistics.median(one.whole(kind) for one in rounds)
        further = statistics.median(one.further(kind) for one in rounds)
        figures = [*shares, shares[0] / shares[1], whole, further, whole / TARGET]
        yield f"{storage:<11}{KINDS[kind]:<15}{''.join(f'{figure:>11.2f}' for figure in figures)}"


class Task:
    """The searches and trainings that are measured, in a home of their own."""

    def __init__(self, home: Path) -> None:
        from flows.prepare_dataset import prepare_dataset
        from llmops.finetuning import ScratchRecipe, TrainingConfig, resolve_base_model
        from tasks.datasets import dataset_store, training_pairs

        rows = [
            {"input": f"{name} can {verb} {times} times", "expected": f"{verb}: {name} x{times}"}
            for name in ("Ann", "Bob", "Eve", "Max", "Zoe")
            for verb in ("run", "sing", "dance", "cook", "read")
            for times in range(9)
        ]
        (home / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        prepare_dataset(str(home / "rows.jsonl"), "toy")
        self.home = home
        self.recipe = ScratchRecipe(vocabulary=300, hidden=32, intermediate=64, layers=1, heads=2, positions=64)
        self.training = TrainingConfig(method="full", max_steps=STEPS, batch_size=16, max_length=64)
        self.pairs = training_pairs(dataset_store().resolve("toy"))
        models = home / "models"
        self.base = resolve_base_model("scratch", models_dir=models, scratch=self.recipe, texts=self.pairs.texts).path

    def search(self, trials: int, seed: int, storage: str | None) -> list[dict[str, Any]]:
        """The values of the trials of a new search."""
        from flows.tune import tune
        from llmops.tuning import SearchConfig

        settings = {"trials": trials, "seed": seed, "storage": storage, "space": SPACE}
        config = SearchConfig.model_validate(settings)
        found = tune("toy", "scratch", search=config, training=self.training, scratch=self.recipe)
        assert not found.reused and len(found.trials) == trials
        return [one.values for one in found.trials]

    def train(self, values: Sequence[dict[str, Any]]) -> None:
        """The same trainings without a search."""
        from llmops.finetuning import train

        for one in values:
            config = self.training.model_validate({**self.training.model_dump(), **one})
            train(self.base, self.pairs.train, self.pairs.validation, config, Path(tempfile.mkdtemp(dir=self.home)))


def measure(task: Task, storages: dict[str, str | None], trials: int, rounds: int) -> dict[str, list[Round]]:
    """Every storage in turn, round by round, for the machine's speed changes."""
    seeds = itertools.count()
    task.search(1, next(seeds), None)  # imports
    found: dict[str, list[Round]] = {name: [] for name in storages}
    for _ in range(rounds):
        for name, storage in storages.items():
            with measured() as single:
                task.search(1, next(seeds), storage)
            with measured() as search:
                values = task.search(trials, next(seeds), storage)
            with measured() as trainings:
                task.train(values)
            found[name].append(Round(trials, search, trainings, single))
            print(f"round {len(found[name])} on {name} is done", flush=True)
    return found


@contextmanager
def every_storage() -> Iterator[dict[str, str | None]]:
    """SQLite, and PostgreSQL where it can be started, by name: what `search.storage` is set to."""
    import pytest

    from tests.emulators.postgresql_server import running_postgresql

    with ExitStack() as stack:
        storages: dict[str, str | None] = {"SQLite": None}
        try:
            storages["PostgreSQL"] = stack.enter_context(running_postgresql()).url()
        except pytest.skip.Exception as why:
            print(f"without PostgreSQL: {why}")
        yield storages


@contextmanager
def quiet_prefect() -> Iterator[None]:
    """A server of Prefect of our own."""
    from prefect.settings import PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with temporary_settings({PREFECT_LOGGING_LEVEL: "CRITICAL"}), prefect_test_harness(server_startup_timeout=200):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of 4 trials")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trials, rounds = (4, 1) if options.quick else (options.trials, options.rounds)
    with tempfile.TemporaryDirectory() as place:
        os.environ["LLMOPS_HOME"] = place
        import tasks  # noqa: F401 (it tells Prefect and MLflow where their things are)

        with quiet_prefect(), every_storage() as storages:
            found = measure(Task(Path(place)), storages, trials, rounds)
    print(
        f"\nSeconds a trial, searches of {trials}; median of {rounds} rounds; target: below {TARGET:.0f} s more a trial"
    )
    columns = ("search", "trainings", "ratio", "overhead", "further", "of target")
    print(f"{'storage':<11}{'':<15}{''.join(f'{name:>11}' for name in columns)}")
    for name, every in found.items():
        print("\n".join(lines(name, every)))
    print("overhead: all that a search does, by its trials; further: what one trial more adds; of target: of overhead")


if __name__ == "__main__":
    main()
