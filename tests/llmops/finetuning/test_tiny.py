"""The tiny base: reproducible, loadable, copying from the first step, and learning."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmops.digests import folder_digest
from llmops.finetuning.tiny import ASSISTANT, END, USER, TinyRecipe, build_tiny, tiny_digest

SMALL = TinyRecipe(vocabulary=512, hidden=32, layers=2, feed_forward=64, steps=12, batch_tokens=512)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int, dict[str, float]]]]:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    progress: list[tuple[int, int, dict[str, float]]] = []
    build_tiny(folder, SMALL, lambda *report: progress.append(report))
    return folder, progress


def test_the_digest_depends_on_the_recipe_and_needs_no_torch() -> None:
    assert tiny_digest(SMALL) == tiny_digest(SMALL.model_copy())
    assert tiny_digest(SMALL) != tiny_digest(SMALL.model_copy(update={"seed": 1}))
    program = (
        "import sys; from llmops.finetuning.tiny import TinyRecipe, tiny_digest; tiny_digest(TinyRecipe());"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_step_is_reported_and_the_loss_falls(
    built: tuple[Path, list[tuple[int, int, dict[str, float]]]],
) -> None:
    _, progress = built
    assert [step for step, _, _ in progress] == list(range(1, 13))
    assert {total for _, total, _ in progress} == {12}
    losses = [metrics["loss"] for _, _, metrics in progress]
    assert sum(losses[-3:]) < sum(losses[:3])


def test_the_same_recipe_gives_the_same_weights(
    built: tuple[Path, list[tuple[int, int, dict[str, float]]]], tmp_path: Path
) -> None:
    build_tiny(tmp_path, SMALL)
    assert folder_digest(tmp_path) == folder_digest(built[0])


def test_building_leaves_the_random_state_of_the_process_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_tiny(tmp_path, SMALL.model_copy(update={"steps": 1}))
    assert torch.equal(torch.rand(3), expected)


def test_transformers_loads_the_folder_and_the_chat_template_marks_the_turns(
    built: tuple[Path, list[tuple[int, int, dict[str, float]]]],
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built[0])
    model = AutoModelForCausalLM.from_pretrained(built[0])
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == f"{USER}Hi{ASSISTANT}Yes{END}"
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == f"{USER}Hi{ASSISTANT}"
    assert tokenizer.eos_token == END
    assert model.config.vocab_size == len(tokenizer) == 512
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_tokenizer_keeps_every_text_and_parts_digits(
    built: tuple[Path, list[tuple[int, int, dict[str, float]]]],
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(built[0])
    for text in ("Order 48213, 12.50 €: naïve café\n  two  spaces", "", "日本"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("48213")["input_ids"]) == 5
