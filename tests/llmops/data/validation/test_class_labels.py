import numpy as np
import pyarrow as pa

from llmops.data.validation.class_labels import (
    class_counts,
    imbalance,
    label_column,
    label_conflict_hits,
    label_spelling_hits,
)


def column(labels: list[str]) -> pa.ChunkedArray:
    return label_column(pa.chunked_array([labels], pa.string()))


def test_what_looks_like_class_labels() -> None:
    assert class_counts(column(["yes", " no ", "no"] * 8)) == {"no": 16, "yes": 8}
    assert class_counts(column([f"Answer number {number}" for number in range(100)])) == {}
    assert class_counts(column(["A long answer of the kind that nobody would call a label."] * 50 + ["x"])) == {}
    assert class_counts(column([str(number) for number in range(50)] * 10)) == {}
    assert class_counts(column(["1", "2", "3"] * 10)) == {"1": 10, "2": 10, "3": 10}
    assert class_counts(column(["only"] * 50)) == {}
    assert class_counts(column(["", "a", "b"] * 8)) == {"a": 8, "b": 8}
    assert class_counts(column([])) == {}


def test_conflicts_accuse_the_outvoted_or_all() -> None:
    keys = np.array([7, 7, 7, 8, 8, 9, 9, 5], dtype=np.uint64)
    [hits] = label_conflict_hits(keys, column(["a", "b", "a", "a", "b", "c", "c", "a"]))
    assert hits.rows.tolist() == [1, 3, 4]
    assert '"a", "b"' in hits.messages[0] and "3 rows" in hits.messages[0]
    assert label_conflict_hits(keys[:2], column(["a", "an answer of many words " * 4])) == []


def test_odd_spellings_of_a_frequent_label() -> None:
    odd = ["Card Arrival", "card_arival", "card_arriva", "card_arr", "cash"]
    labels = column(["card_arrival"] * 60 + ["card_linking"] * 60 + odd)
    [hits] = label_spelling_hits(labels, class_counts(labels))
    assert hits.rows.tolist() == [120, 121, 122, 123]
    assert all('looks like "card_arrival"' in message for message in hits.messages)
    labels = column(["C"] * 60 + ["C++", "C#", "1"] * 2 + ["-1"] * 30)
    assert label_spelling_hits(labels, class_counts(labels)) == []
    # Two classes of like names that are both frequent are two classes.
    labels = column(["class_one_a"] * 60 + ["class_one_b"] * 60)
    assert label_spelling_hits(labels, class_counts(labels)) == []


def test_imbalance() -> None:
    assert imbalance({"a": 59, "b": 3}) is None
    assert imbalance({"a": 60, "b": 3}) is not None
    assert imbalance({"a": 20, "b": 2}) is not None
    assert imbalance({}) is None
