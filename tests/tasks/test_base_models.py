"""What is refused about a model before anything is trained or asked."""

from pathlib import Path

import pytest

from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ScratchRecipe
from tasks.base_models import require_room_for_answers

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
