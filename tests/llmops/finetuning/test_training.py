"""Training at toy size: what is learnt, what is left behind, and what survives a kill -9."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig, TrainingDivergedError, TrainingEvent, TrainingResult, train
from llmops.llm import LocalModel

Pairs = list[tuple[str, str]]

# Trains in processes of their own, one a job, each of which kills itself when a given step has been logged; importing
# takes longest, and most of it is done once. argv: a JSON object; prints how each ended.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import torch
import transformers.models.llama.modeling_llama
from llmops.finetuning import TrainingConfig, train
torch.set_num_threads(1)
asked = json.loads(sys.argv[1])
pairs = [tuple(pair) for pair in asked["pairs"]]
def on_event(event):
    if event.step >= asked["kill_at"]:
        os.kill(os.getpid(), signal.SIGKILL)
ended = []
for job in asked["jobs"]:
    child = os.fork()
    if child == 0:
        config = TrainingConfig.model_validate(job["config"])
        train(Path(asked["base"]), pairs[:180], pairs[180:], config, Path(job["folder"]), on_event)
        os._exit(0)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ended)
"""

KILLED = {
    "lora with dropout and accumulation": TrainingConfig(
        method="lora",
        epochs=2,
        learning_rate=1e-2,
        dropout=0.2,
        gradient_accumulation=2,
        checkpoint_steps=3,
    ),
    "full with early stopping": TrainingConfig(
        method="full", epochs=2, learning_rate=5e-3, batch_size=15, early_stopping_patience=2
    ),
}


@pytest.fixture(scope="module")
def killed(toy_base: Path, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the trainings `KILLED`, each killed when its eighth step was logged."""
    folders = {name: tmp_path_factory.mktemp("killed") for name in KILLED}
    jobs = [{"config": config.model_dump(), "folder": str(folders[name])} for name, config in KILLED.items()]
    asked = json.dumps({"base": str(toy_base), "pairs": pairs, "kill_at": 8, "jobs": jobs})
    run = subprocess.run([sys.executable, "-c", SCRIPT, asked], capture_output=True, text=True, check=False)
    # Nothing else is printed, neither by an import nor by a training.
    assert (run.stdout, run.stderr) == ("[-9, -9]\n", "")
    return folders


def without_speed(log: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in log]


@pytest.fixture(scope="module")
def trained(toy_base: Path, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A full fine-tuning that learns the task: (result, events)."""
    events: list[TrainingEvent] = []
    config = TrainingConfig(method="full", epochs=12, learning_rate=5e-3, batch_size=16)
    folder = tmp_path_factory.mktemp("trained")
    return train(toy_base, pairs[:180], pairs[180:], config, folder, events.append), events


def test_full_fine_tuning_learns(trained: Any, toy_base: Path, pairs: Pairs) -> None:
    result, _ = trained
    before, after = LocalModel.load(toy_base), LocalModel.load(result.model_path)
    inputs = [prompt for prompt, _ in pairs[180:]]
    expected = [answer for _, answer in pairs[180:]]
    right = sum(a == b for a, b in zip(after.generate(inputs, 16), expected, strict=True))
    assert right > sum(a == b for a, b in zip(before.generate(inputs, 16), expected, strict=True))
    scores = after.score(pairs[180:])
    nll = sum(score.nll for score in scores) / sum(score.tokens for score in scores)
    assert result.validation_loss == pytest.approx(nll, rel=1e-4)
    assert result.trainable_parameters == result.parameters


def test_events_cover_the_run(trained: Any) -> None:
    result, events = trained
    losses = [event for event in events if "loss" in event.metrics]
    evaluations = [event for event in events if "validation_loss" in event.metrics]
    assert result.steps == result.total_steps == 12 * 12
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second"} == set(losses[0].metrics)
    assert [event.step for event in losses] == [1, *range(4, 145, 4)]
    assert [event.step for event in evaluations] == [*range(15, 144, 15), 144]
    assert losses[-1].metrics["loss"] < 0.5 * losses[0].metrics["loss"]
    assert losses[-1].metrics["learning_rate"] < 0.01 * 5e-3
    assert events[-1].seconds_left == pytest.approx(0)
    assert all(event.total_steps == 144 and event.resumed_from is None for event in events)
    assert [{"step": event.step, **event.metrics} for event in events] == result.log


def test_finished_folder_holds_a_model_and_is_not_trained_again(trained: Any, toy_base: Path, pairs: Pairs) -> None:
    result, _ = trained
    names = {path.name for path in result.model_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"optimizer.pt", "trainer_state.json", "complete.json", "training_args.bin"}
    assert json.loads((result.model_path / "config.json").read_text())["use_cache"] is True
    assert len(list((result.folder / "checkpoints").iterdir())) == 2
    config = TrainingConfig(method="full", epochs=12, learning_rate=5e-3, batch_size=16)
    events: list[TrainingEvent] = []
    assert train(toy_base, pairs[:180], pairs[180:], config, result.folder, events.append) == result
    assert events == []


def test_folder_of_another_training_is_refused(trained: Any, toy_base: Path, pairs: Pairs) -> None:
    with pytest.raises(InputError, match="other data or settings"):
        train(toy_base, pairs[:100], [], TrainingConfig(), trained[0].folder)


@pytest.mark.parametrize("name", KILLED)
def test_killed_training_ends_as_if_it_had_not_been(
    killed: dict[str, Path], toy_base: Path, pairs: Pairs, tmp_path: Path, name: str
) -> None:
    config, folder = KILLED[name], killed[name]
    assert not (folder / "model").exists()
    # As if it had died in the middle of writing one more checkpoint.
    torn = folder / "checkpoints" / "checkpoint-9"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9')

    events: list[TrainingEvent] = []
    resumed = train(toy_base, pairs[:180], pairs[180:], config, folder, events.append)
    whole = train(toy_base, pairs[:180], pairs[180:], config, tmp_path / "whole")
    assert resumed.resumed_from is not None
    assert 0 < resumed.resumed_from < 8
    assert without_speed(resumed.log) == without_speed(whole.log)
    assert resumed.validation_loss == whole.validation_loss
    weights = "adapter_model.safetensors" if config.method == "lora" else "model.safetensors"
    assert (resumed.model_path / weights).read_bytes() == (whole.model_path / weights).read_bytes()
    # Nothing is missing from the curve and nothing stands in it twice.
    assert [{"step": event.step, **event.metrics} for event in events] == resumed.log
    assert [event.step for event in events if event.replayed] == [
        event.step for event in events if event.step <= resumed.resumed_from
    ]


def test_kill_between_the_last_checkpoint_and_the_model(
    trained: Any, toy_base: Path, pairs: Pairs, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(trained[0].folder, folder)
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "model")
    config = TrainingConfig(method="full", epochs=12, learning_rate=5e-3, batch_size=16)
    again = train(toy_base, pairs[:180], pairs[180:], config, folder)
    assert again.tokens == 0
    assert again.log == trained[0].log
    weights = "model.safetensors"
    assert (again.model_path / weights).read_bytes() == (trained[0].model_path / weights).read_bytes()


def test_early_stopping_keeps_the_best_weights(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    # Contradictory validation answers: the better the task is learnt, the higher this loss.
    wrong = [(prompt, answer[::-1]) for prompt, answer in pairs[180:]]
    config = TrainingConfig(
        method="full", epochs=20, learning_rate=5e-3, batch_size=16, eval_steps=6, early_stopping_patience=2
    )
    result = train(toy_base, pairs[:180], wrong, config, tmp_path)
    curve = {entry["step"]: entry["validation_loss"] for entry in result.log if "validation_loss" in entry}
    assert result.best_step == min(curve, key=curve.__getitem__) == result.steps - 12
    assert result.steps < result.total_steps
    scores = LocalModel.load(result.model_path).score(wrong)
    nll = sum(score.nll for score in scores) / sum(score.tokens for score in scores)
    assert result.validation_loss == pytest.approx(nll, rel=1e-4) == min(curve.values())


def test_gradient_accumulation_equals_a_larger_batch(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    # One pool holds all examples, so that two batches of 90 and one of 180 are the same examples.
    def losses(batch_size: int, accumulation: int) -> list[float]:
        config = TrainingConfig(
            method="full", batch_size=batch_size, gradient_accumulation=accumulation, epochs=3, warmup_ratio=0
        )
        result = train(toy_base, pairs[:180], pairs[180:], config, tmp_path / str(batch_size))
        return [entry.get("loss", entry.get("validation_loss", 0.0)) for entry in result.log]

    assert losses(90, 2) == pytest.approx(losses(180, 1), rel=1e-4)


def test_exception_from_a_listener_ends_the_training(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    class Pruned(Exception):  # noqa: N818
        pass

    def prune(event: TrainingEvent) -> None:
        if event.step == 4:
            raise Pruned

    config = TrainingConfig(method="lora", max_steps=20, checkpoint_steps=2)
    with pytest.raises(Pruned):
        train(toy_base, pairs[:100], [], config, tmp_path, prune)
    assert not (tmp_path / "model").exists()
    assert train(toy_base, pairs[:100], [], config, tmp_path).resumed_from == 2


def test_loss_that_is_no_number_ends_the_training(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    config = TrainingConfig(method="full", max_steps=60, learning_rate=1e30, warmup_ratio=0)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate"):
        train(toy_base, pairs[:100], [], config, tmp_path)


def test_nothing_is_printed(toy_base: Path, pairs: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(toy_base, pairs[:180], pairs[180:], TrainingConfig(method="lora", max_steps=2), tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_qlora_trains_adapters_on_a_quantised_base(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    config = TrainingConfig(method="qlora", max_steps=30, learning_rate=1e-2, batch_size=16)
    result = train(toy_base, pairs[:180], pairs[180:], config, tmp_path)
    assert result.trainable_parameters < result.parameters
    before, after = ([s.nll for s in LocalModel.load(p).score(pairs[180:])] for p in (toy_base, result.model_path))
    assert sum(after) < 0.9 * sum(before)


def test_qlora_without_bitsandbytes_says_what_to_install(
    toy_base: Path, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "bitsandbytes" else found(name, *rest),
    )
    with pytest.raises(InputError, match="pip install bitsandbytes"):
        train(toy_base, pairs[:9], [], TrainingConfig(method="qlora"), tmp_path)


def test_examples_that_do_not_fit_are_counted(toy_base: Path, pairs: Pairs, tmp_path: Path) -> None:
    long = [("Ann can run " * 30, "x1"), ("Ann", "run: Ann " * 60)]
    result: TrainingResult = train(
        toy_base, pairs[:10] + long, [], TrainingConfig(max_length=40, max_steps=1), tmp_path / "one"
    )
    assert (result.examples, result.truncated, result.dropped) == (11, 1, 1)
    with pytest.raises(InputError, match="fits in 40 tokens"):
        train(toy_base, long[1:], [], TrainingConfig(max_length=40), tmp_path / "none")
    with pytest.raises(InputError, match="early stopping needs"):
        train(toy_base, pairs, [], TrainingConfig(early_stopping_patience=1), tmp_path / "blind")
