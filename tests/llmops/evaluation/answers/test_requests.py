import json
from hashlib import blake2b
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.answers.requests import messages_json, request_key
from llmops.llm.completions import Parameters

ASKED = [{"role": "user", "content": "Why?"}]
texts = st.text(st.characters(exclude_categories=["Cs"]))
messages = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": texts}), max_size=3)


def _by_hand(model: str, asked: list[dict[str, Any]], parameters: dict[str, Any], repeat: int) -> str:
    def text(value: Any) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    whole = text([model, parameters]) + f"\0{repeat}\0" + text(asked)
    return blake2b(whole.encode(), digest_size=16).hexdigest()


@given(messages, st.integers(0, 5))
def test_a_key_is_the_digest_of_the_canonical_json(asked: list[dict[str, Any]], repeat: int) -> None:
    parameters = Parameters(max_tokens=7, stop=("a", "b"), extra={"z": 1, "a": {"y": 2, "b": None}})
    fixed = {"max_tokens": 7, "stop": ["a", "b"], "extra": {"a": {"b": None, "y": 2}, "z": 1}}
    assert request_key("m", asked, parameters, repeat) == _by_hand("m", asked, fixed, repeat)


def test_whatever_is_asked_otherwise_has_another_key() -> None:
    keys = [
        request_key("m", ASKED, Parameters(), 0),
        request_key("n", ASKED, Parameters(), 0),
        request_key("m", ASKED, Parameters(), 1),
        request_key("m", ASKED, Parameters(), 11),
        request_key("m", ASKED, Parameters(temperature=0), 0),
        request_key("m", ASKED, Parameters(seed=0), 0),
        request_key("m", [*ASKED, *ASKED], Parameters(), 0),
        request_key("m", [{"role": "system", "content": "Why?"}], Parameters(), 0),
    ]
    assert len(set(keys)) == len(keys)


def test_a_parameter_left_at_its_default_changes_no_key() -> None:
    assert request_key("m", ASKED, Parameters(stop=(), top_p=None), 0) == request_key("m", ASKED, Parameters(), 0)


@given(st.text())
def test_any_text_has_a_key_and_is_sent_as_it_is(text: str) -> None:
    asked = [{"role": "user", "content": text, "big": 2**70}]
    assert len(request_key("m", asked, Parameters(), 0)) == 32
    assert json.loads(messages_json(asked)) == asked
