from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.llm import LocalModel
from llmops.llm.chat_format import encode_example, encode_prompt


@pytest.fixture(scope="module")
def model(half_trained: Path) -> LocalModel:
    return LocalModel.load(half_trained)


def inputs(pairs: list[tuple[str, str]], number: int = 24) -> list[str]:
    """Prompts of very different lengths."""
    return [" ".join(text for text, _ in pairs[i : i + 1 + i % 4]) for i in range(number)]


def test_answers_do_not_depend_on_the_batch(model: LocalModel, pairs: list[tuple[str, str]]) -> None:
    alone = model.generate(inputs(pairs), max_new_tokens=12, batch_size=1)
    assert model.generate(inputs(pairs), max_new_tokens=12, batch_size=8) == alone
    assert len(set(alone)) > 5


def test_greedy_answer_is_that_of_step_by_step_argmax(model: LocalModel, pairs: list[tuple[str, str]]) -> None:
    import torch

    ids = encode_prompt(model.tokenizer, pairs[0][0])
    start = len(ids)
    while len(ids) < start + 10:
        logits = model.model(torch.tensor([ids]), use_cache=False).logits
        ids = [*ids, int(logits[0, -1].argmax())]
        if ids[-1] == model.tokenizer.eos_token_id:
            break
    expected = model.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()
    assert model.generate([pairs[0][0]], max_new_tokens=10) == [expected]


def test_beam_search_finds_likelier_answers(toy_base: Path, pairs: list[tuple[str, str]]) -> None:
    import torch

    model = LocalModel.load(toy_base)  # a trained one is so sure of itself that greedy search finds the best

    def likelihood(prompt: str, beams: int) -> float:
        ids = torch.tensor([encode_prompt(model.tokenizer, prompt)])
        # Three tokens and no end of sequence among them: comparable without a length penalty.
        out = model.model.generate(ids, max_new_tokens=3, min_new_tokens=3, num_beams=beams)
        chosen = out[0, ids.shape[1] :]
        logits = model.model(out).logits[0, ids.shape[1] - 1 : -1].log_softmax(-1)
        return float(logits.gather(1, chosen[:, None]).sum())

    gains = [likelihood(text, beams=16) - likelihood(text, beams=1) for text in inputs(pairs, 6)]
    assert sum(gains) > 0
    assert len(model.generate(inputs(pairs, 5), max_new_tokens=6, num_beams=4, batch_size=2)) == 5


def test_progress_is_told_and_no_input_gives_no_answer(model: LocalModel) -> None:
    seen: list[tuple[int, int]] = []
    model.generate(["a", "b", "c"], 2, batch_size=2, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]
    assert model.generate([], 2) == []
    assert model.score([]) == []


def test_more_new_tokens_than_positions_are_refused(model: LocalModel) -> None:
    with pytest.raises(InputError, match="96 positions"):
        model.generate(["a"], max_new_tokens=96)


def test_prompt_too_long_for_the_model_is_cut_on_the_left(model: LocalModel) -> None:
    assert model.generate(["Ann can run " * 99], 8) == model.generate(["Ann can run " * 98], 8)


def test_score_agrees_with_the_loss_transformers_computes(model: LocalModel, pairs: list[tuple[str, str]]) -> None:
    import torch

    scores = model.score(pairs[:9], batch_size=4)
    for (prompt, expected), score in zip(pairs[:9], scores, strict=True):
        ids, labels = encode_example(model.tokenizer, prompt, expected, max_length=96)
        output = model.model(torch.tensor([ids]), labels=torch.tensor([labels]))
        completion = [token for token in labels if token != -100]
        assert score.tokens == len(completion)
        assert score.nll / score.tokens == pytest.approx(float(output.loss), rel=1e-5)
        guesses = output.logits[0].argmax(-1).tolist()[len(ids) - len(completion) - 1 : -1]
        assert score.correct == sum(a == b for a, b in zip(guesses, completion, strict=True))


def test_score_of_pairs_that_do_not_fit_is_finite(model: LocalModel) -> None:
    long_prompt, long_answer = model.score([("run " * 300, "x1"), ("Ann", "run " * 300)])
    assert long_prompt.tokens == model.score([("run", "x1")])[0].tokens
    assert long_answer.tokens == 95


@pytest.mark.parametrize("content", [{}, {"adapter_config.json": '{"base_model_name_or_path": "/gone"}'}])
def test_folder_without_a_model_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"holds no model|is gone"):
        LocalModel.load(tmp_path)
