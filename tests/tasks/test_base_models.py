"""What is refused about a model before anything is trained or asked."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe, TrainingConfig
from llmops.finetuning.backends.local import LocalBackend
from tasks.base_models import find_model, prepare_base_model, require_base_model, require_room_for_answers

SHORT = ScratchRecipe(positions=64)


def test_answers_that_leave_room_for_one_token_of_prompt_are_taken(toy_base: Path) -> None:
    require_room_for_answers([str(toy_base)], EvaluationConfig(max_new_tokens=95))
    require_room_for_answers(["tiny", "scratch"], EvaluationConfig(max_new_tokens=511))
    require_room_for_answers(["scratch"], EvaluationConfig(max_new_tokens=63), SHORT)


def test_longer_answers_are_refused_for_any_model_that_is_asked(toy_base: Path) -> None:
    for models, positions in ((["tiny"], 512), (["tiny", "scratch"], 64), (["tiny", str(toy_base)], 96)):
        with pytest.raises(InputError, match=rf"evaluation\.max_new_tokens {positions} .*; set it below {positions}$"):
            require_room_for_answers(models, EvaluationConfig(max_new_tokens=positions), SHORT)


def test_a_folder_without_a_model_is_named_as_such(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^model {tmp_path} .* holds no config.json"):
        require_room_for_answers([str(tmp_path)], EvaluationConfig())


def test_a_model_that_names_no_limit_takes_any_length(tmp_path: Path) -> None:
    # ALiBi models have no table of positions.
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    require_room_for_answers([str(tmp_path)], EvaluationConfig(max_new_tokens=100_000))


def test_a_champion_that_ollama_serves_is_tuned_further_from_its_weights_here(
    home: Path, toy_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {
        "llmops.hosted_model": "m",
        "llmops.backend": "ollama",
        "llmops.job_id": "job-0",
        "llmops.asked_as": "ollama/m",
    }
    MlflowClient().create_registered_model("served")
    MlflowClient().create_model_version("served", "x", tags=tags)
    MlflowClient().set_registered_model_alias("served", "champion", "1")
    name = "models:/served@champion"
    with pytest.raises(InputError, match=r"its training is no longer in .*: ask it as ollama/m"):
        require_base_model(name, TrainingConfig())
    (home / "training" / "job-0").mkdir(parents=True)
    (home / "training" / "job-0" / "result.json").write_text("{}")
    monkeypatch.setattr(LocalBackend, "merged", lambda self, job: toy_base if job == "job-0" else None)
    require_base_model(name, TrainingConfig())
    found = find_model(name)
    assert (found.name, found.path) == ("models:/served/1", toy_base)
    assert prepare_base_model.fn(name, [], ScratchRecipe()) == found
