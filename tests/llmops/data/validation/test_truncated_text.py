import pyarrow as pa

from llmops.data.validation.truncated_text import (
    CLOSED,
    DIGIT,
    EMPTY,
    FUNCTION_WORD,
    LETTER,
    OPEN_END,
    SENTENCE,
    UNCLOSED,
    endings,
    last_line_markers,
    truncated_text_hits,
)


def found(texts: list[str]) -> list[int]:
    column = pa.chunked_array([texts], pa.string())
    return [
        row for hits in truncated_text_hits("expected", endings(column), last_line_markers(column)) for row in hits.rows
    ]


def test_how_texts_end() -> None:
    texts = {
        "It ends here.": SENTENCE,
        'He said "yes!" ': SENTENCE,
        "終わりです。": SENTENCE,
        "near[Café]": CLOSED,
        "It costs 12 €": DIGIT,
        "It ends here": LETTER,
        "first,": OPEN_END,
        "well-": OPEN_END,
        "He went to the": FUNCTION_WORD,
        "breathe": LETTER,
        "f(x, [1, 2": UNCLOSED,
        "(a) and [b] (": OPEN_END,
        "so sad :((": OPEN_END,
        "so sad :( today": LETTER,
        "```python\nprint(1)\n": UNCLOSED,
        "```python\nprint(1)\n```": CLOSED,
        "1) one": LETTER,
        "": EMPTY,
        " \n": EMPTY,
    }
    assert dict(zip(texts, endings(pa.chunked_array([list(texts)])).tolist(), strict=True)) == texts


def test_only_what_is_unlike_nearly_all_others_is_cut() -> None:
    assert found(["It ends here."] * 99 + ["It ends he"]) == [99]
    assert found(["It ends here."] * 80 + ["It ends here"] * 20) == []
    # Where letters end most texts only what no sentence ends in is cut, and only where it is rare.
    assert found(["it ends here"] * 999 + ["he went to the"]) == [999]
    assert found(["it ends here"] * 90 + ["he went to the"] * 10) == []
    # Too few rows to know what is usual.
    assert found(["It ends here."] * 9 + ["It ends he"]) == []


def test_a_last_line_that_all_others_have() -> None:
    assert found([f"Some steps\n#### {number}" for number in range(99)] + ["Some steps, 12 + 30 = 42"]) == [99]
    assert found([f"Some steps\n{number}" for number in range(99)] + ["Some steps, 12 + 30 = 42"]) == []
