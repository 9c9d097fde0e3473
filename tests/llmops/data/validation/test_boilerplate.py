import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.boilerplate import boilerplate_hits


def found(input: str, expected: str) -> bool:
    return bool(
        boilerplate_hits(sample_table(input=pa.chunked_array([[input]]), expected=pa.chunked_array([[expected]])))
    )


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I have no opinion.",
        "I’m sorry, but I can’t assist with that.",
        "I am unable to help you with this request.",
        "Unfortunately, I cannot provide medical advice.",
        "Sure! Here's the answer you wanted.",
        "Here is a shorter version of the text:\nIt rains.",
        "It is 12. I hope this helps!",
        "Dear [Your Name],",
        "TODO",
    ],
)
def test_left_overs_in_answers(text: str) -> None:
    assert found("A question", text)


def test_in_questions_only_placeholders_count() -> None:
    assert found("Write to <insert name> about lorem ipsum", "ok")
    assert not found("Why do you say 'as an AI language model' so often?", "To be honest.")


@pytest.mark.parametrize(
    "text",
    [
        "Here is the house where I was born.",
        "Sure, it opens at nine.",
        "Add it to my todo list",
        "I cannot swim.",
        "See [1] and [the map]",
    ],
)
def test_plain_answers_are_left_alone(text: str) -> None:
    assert not found("A question", text)
