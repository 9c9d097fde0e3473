import numpy as np

from llmops.data.validation.length_outliers import length_outlier_hits


def test_far_longer_and_far_shorter_texts() -> None:
    lengths = np.random.default_rng(0).lognormal(np.log(100), 0.3, 1_000).astype(np.int64)
    assert length_outlier_hits("input", lengths) == []
    # A standard deviation of 0.3 on the logarithm: 4.5 up is 386 bytes, 7 down is 12.
    [hits] = length_outlier_hits("input", np.append(lengths, [500, 5, 320, 20, 0]))
    assert hits.rows.tolist() == [1_000, 1_001]
    assert hits.messages[0].endswith("look whether text was glued together")
    assert hits.messages[1].endswith("look whether text was lost")


def test_no_verdict_on_few_rows_and_some_room_on_equal_ones() -> None:
    assert length_outlier_hits("input", np.array([10] * 50 + [10_000])) == []
    assert length_outlier_hits("input", np.array([10] * 100 + [15])) == []
