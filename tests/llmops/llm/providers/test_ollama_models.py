"""Ollama's ``/api/chat``: what is sent, and what each form of answer means."""

from typing import Any

import pytest

from llmops.llm.failures import ModelError

pytestmark = pytest.mark.service


def answer(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole answer of Ollama."""
    said = {"role": "assistant", **message}
    return {"model": "llama4:8b", "message": said, "done": True, "prompt_eval_count": 5, "eval_count": 2, **more}


def test_the_request_is_written_as_ollama_wants_it(shared_server: Any, complete: Any) -> None:
    shared_server.always = answer({"content": "a"}, done_reason="stop")
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Rain?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    complete("ollama/llama4:8b")
    complete(
        *("ollama/llama4:8b", messages),
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=("x",),
        extra={"num_ctx": 4096, "think": False, "options": {"seed": 8}},
    )
    plain, full = shared_server.received
    assert plain.path == "/api/chat"
    question = {"role": "user", "content": "The capital of France?"}
    assert plain.body == {"model": "llama4:8b", "stream": False, "messages": [question], "tools": []}
    assert full.body == {
        "model": "llama4:8b",
        "stream": False,
        "tools": [],
        "think": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Rain?"},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bern"}}}],
            },
            {"role": "tool", "content": "no", "tool_name": "weather"},
        ],
        "options": {"num_predict": 9, "temperature": 0, "top_p": 0.5, "seed": 8, "stop": ["x"], "num_ctx": 4096},
    }


@pytest.mark.parametrize(
    ("message", "done_reason", "text", "reason"),
    [
        ({"content": "a"}, "stop", "a", "stop"),
        ({"content": "a", "thinking": "hm"}, "length", "a", "length"),
        ({"content": ""}, "stop", "", "stop"),
        ({"content": "a"}, "load", "a", "other"),
        (
            {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]},
            *("stop", '[{"name": "f", "arguments": {"x": 1}}]', "tool_calls"),
        ),
    ],
)
def test_what_an_answer_means(
    message: dict[str, Any], done_reason: str, text: str, reason: str, shared_server: Any, complete: Any
) -> None:
    shared_server.reply(answer(message, done_reason=done_reason))
    got = complete("ollama/llama4:8b")
    assert (got.text, got.finish_reason, got.model) == (text, reason, "llama4:8b")
    assert (got.input_tokens, got.output_tokens) == (5, 2)


def test_an_answer_that_is_not_done_is_malformed(shared_server: Any, complete: Any) -> None:
    for body in (answer({"content": "a"}, done=False), answer({})):
        shared_server.reply(body)
        with pytest.raises(ModelError) as failed:
            complete("ollama/m")
        assert failed.value.kind == "malformed"


def test_a_model_that_was_not_pulled_is_not_found(shared_server: Any, complete: Any) -> None:
    shared_server.reply({"error": "model 'm' not found"}, 404)
    with pytest.raises(ModelError, match="404: model 'm' not found") as failed:
        complete("ollama/m")
    assert failed.value.kind == "not_found"
