"""The questions a model is asked, and what it should answer: one entry for each distinct question of a split."""

from dataclasses import dataclass

import pyarrow as pa

from llmops.data.duplicates.deduplication import question_keys


@dataclass(frozen=True)
class HeldOut:
    """n distinct questions in the order of their inputs; every right answer of each; which ones hang together.

    Attributes:
        inputs: what is asked; one text occurs more than once where it stands in different contexts.
        references: the right answers to each.
        groups: the template, document or author an input stems from: inputs of one group are not independent, so
            intervals resample whole groups.
        ids: for each reference the id of the sample it comes from.
    """

    inputs: list[str]
    references: list[list[str]]
    groups: list[str]
    ids: list[list[str]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (input, reference), in the order of the inputs."""
        return [(text, right) for text, rights in zip(self.inputs, self.references, strict=True) for right in rights]


def held_out(samples: pa.Table) -> HeldOut:
    """Gather samples with the same question into one entry with several references.

    A question is an input with its context and, where the sample is a conversation, the system messages and the
    tools (see `question_keys`): in another context another answer is right.

    Args:
        samples: table with the columns ``id``, ``input``, ``expected``, ``context``, ``messages`` and ``group`` of
            `SAMPLE_SCHEMA`, in any order.

    >>> from llmops.data.samples import sample_table
    >>> column = lambda *texts: pa.chunked_array([pa.array(texts, pa.string())])
    >>> held = held_out(
    ...     sample_table(
    ...         input=column("When?", "Who?", "When?", "When?"),
    ...         expected=column("at nine", "Ann", "at ten", "nine"),
    ...         context=column("Open from 9.", None, "Open from 10.", "Open from 9."),
    ...     )
    ... )
    >>> held.inputs, held.references
    (['When?', 'When?', 'Who?'], [['at ten'], ['at nine', 'nine'], ['Ann']])
    """
    order = [(name, "ascending") for name in ("input", "context", "messages", "expected", "id")]
    ordered = samples.select([name for name, _ in order] + ["group"]).sort_by(order)
    gathered: dict[int, list[dict[str, str]]] = {}
    for question, row in zip(question_keys(ordered).tolist(), ordered.to_pylist(), strict=True):
        gathered.setdefault(question, []).append(row)
    return HeldOut(
        inputs=[rows[0]["input"] for rows in gathered.values()],
        references=[[row["expected"] for row in rows] for rows in gathered.values()],
        groups=[rows[0]["group"] for rows in gathered.values()],
        ids=[[row["id"] for row in rows] for rows in gathered.values()],
    )
