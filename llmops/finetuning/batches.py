"""Batches of like length: little padding, and the same order in every run with the same seed."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from llmops.llm.chat_format import IGNORED_LABEL

POOL_BATCHES = 50  # batches' worth of shuffled examples that are sorted by length together

Example = tuple[list[int], list[int]]


class LengthGroupedBatches:
    """The example indices of every batch of a run, epoch after epoch.

    Each epoch shuffles the examples, sorts pools of 50 batches by length, cuts them into batches and shuffles
    these. The order depends on the lengths, the batch size and the seed alone, so that a resumed run can skip
    what it has seen.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, total: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.total = total
        self.seed = seed

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = math.ceil(len(self.lengths) / self.batch_size)
        for number in range(self.total):
            epoch, position = divmod(number, per_epoch)
            if position == 0:
                batches = self._epoch(epoch)
            yield batches[position]

    def _epoch(self, epoch: int) -> list[list[int]]:
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.lengths))
        batches: list[list[int]] = []
        for start in range(0, len(order), POOL_BATCHES * self.batch_size):
            pool = order[start : start + POOL_BATCHES * self.batch_size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size].tolist() for i in range(0, len(pool), self.batch_size)]
        return [batches[index] for index in generator.permutation(len(batches))]


def collate(examples: Sequence[Example], pad_token_id: int) -> dict[str, Any]:
    """Pad examples on the right to the longest of them: input ids, attention mask and labels as tensors."""
    import torch

    shape = (len(examples), max(len(ids) for ids, _ in examples))
    input_ids = np.full(shape, pad_token_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    labels = np.full(shape, IGNORED_LABEL, dtype=np.int64)
    for row, (ids, targets) in enumerate(examples):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        labels[row, : len(ids)] = targets
    return {
        "input_ids": torch.from_numpy(input_ids),
        "attention_mask": torch.from_numpy(attention_mask),
        "labels": torch.from_numpy(labels),
    }
