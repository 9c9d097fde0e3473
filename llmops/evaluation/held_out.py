"""The inputs a model is asked, and what it should answer: one entry for each distinct input of a split."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class HeldOut:
    """n distinct inputs in the order of their ids; every right answer of each; which ones hang together.

    ``groups`` names the template, document or author an input stems from: inputs of one group are not
    independent, so intervals resample whole groups.
    """

    inputs: list[str]
    references: list[list[str]]
    groups: list[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (input, reference), in the order of the inputs."""
        return [(text, right) for text, rights in zip(self.inputs, self.references, strict=True) for right in rights]


def held_out(samples: pa.Table) -> HeldOut:
    """Gather samples with the same input into one entry with several references.

    Args:
        samples: table with the columns ``input``, ``expected`` and ``group``, in any order.

    >>> table = pa.table({"input": ["b", "a", "b"], "expected": ["1", "2", "3"], "group": ["g", "h", "g"]})
    >>> held_out(table)
    HeldOut(inputs=['a', 'b'], references=[['2'], ['1', '3']], groups=['h', 'g'])
    """
    gathered: dict[str, tuple[str, list[str]]] = {}
    ordered = samples.select(["input", "expected", "group"]).sort_by(
        [("input", "ascending"), ("expected", "ascending")]
    )
    for row in ordered.to_pylist():
        gathered.setdefault(row["input"], (row["group"], []))[1].append(row["expected"])
    return HeldOut(
        inputs=list(gathered),
        references=[references for _, references in gathered.values()],
        groups=[group for group, _ in gathered.values()],
    )
