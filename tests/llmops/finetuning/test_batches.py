import torch
from hypothesis import given
from hypothesis import strategies as st

from llmops.finetuning.batches import LengthGroupedBatches, collate


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=300),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_epoch_holds_each_example_once(lengths: list[int], batch_size: int, seed: int) -> None:
    per_epoch = -(-len(lengths) // batch_size)
    batches = list(LengthGroupedBatches(lengths, batch_size, total=2 * per_epoch, seed=seed))
    for epoch in (batches[:per_epoch], batches[per_epoch:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(len(lengths)))
        assert max(map(len, epoch)) <= batch_size


def test_padding_is_small_and_epochs_differ() -> None:
    lengths = torch.randint(10, 100, (2000,), generator=torch.Generator().manual_seed(1)).tolist()
    batches = list(LengthGroupedBatches(lengths, 16, total=250, seed=0))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.05 * 2 * sum(lengths)
    assert batches[:125] != batches[125:]
    # Long and short batches alternate: the length of one says little about the next.
    widths = torch.tensor([float(lengths[batch[-1]]) for batch in batches[:124]])
    assert abs(torch.corrcoef(torch.stack([widths[:-1], widths[1:]]))[0, 1]) < 0.3


def test_order_depends_on_the_seed_alone_and_stops_after_the_run() -> None:
    lengths = [5, 3, 8, 1, 9, 2, 7]
    first = list(LengthGroupedBatches(lengths, 2, total=3, seed=4))
    assert len(first) == 3
    assert list(LengthGroupedBatches(lengths, 2, total=9, seed=4))[:3] == first
    assert list(LengthGroupedBatches(lengths, 2, total=3, seed=5)) != first


def test_collate_pads_on_the_right() -> None:
    batch = collate([([5, 6, 7], [-100, 6, 7]), ([8], [8])], pad_token_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
