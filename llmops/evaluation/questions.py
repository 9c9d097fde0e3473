"""The questions a model is asked, and what it should answer: one row for each distinct question of a split."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from llmops.data.conversations import canonical_json, to_conversation
from llmops.data.duplicates.deduplication import question_keys
from llmops.llm.completions import Message

QUESTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("context", pa.string()),
        pa.field("messages", pa.string(), nullable=False),
        pa.field("references", pa.list_(pa.string()), nullable=False),
        pa.field("sample_ids", pa.list_(pa.string()), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("metadata", pa.map_(pa.string(), pa.string())),
    ]
)
"""`id` names what is asked (input, context, system messages and tools), not what is answered. `messages` is what is
sent where there is no prompt, as JSON. `references` are the right answers, `sample_ids` where each of them comes
from. `metadata` is that of the first sample."""


@dataclass(frozen=True)
class Questions:
    """n distinct questions in `QUESTION_SCHEMA`, in the order of their inputs.

    Questions of one group (the template, document or author they stem from) are not independent: intervals resample
    whole groups.
    """

    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def slice(self, start: int, stop: int) -> "Questions":
        """The questions from `start` up to `stop`, without copying them."""
        return Questions(self.table.slice(start, stop - start))

    @cached_property
    def ids(self) -> np.ndarray:
        """(n,) ids."""
        return np.asarray(self.table["id"].to_pylist(), dtype=str)

    @cached_property
    def groups(self) -> np.ndarray:
        """(n,) labels of their groups."""
        return np.asarray(self.table["group"].to_pylist(), dtype=str)

    @property
    def inputs(self) -> list[str]:
        """What is asked; one text occurs more than once where it stands in different contexts."""
        texts: list[str] = self.table["input"].to_pylist()
        return texts

    @property
    def contexts(self) -> list[str | None]:
        """What each is to be answered from."""
        texts: list[str | None] = self.table["context"].to_pylist()
        return texts

    @property
    def references(self) -> list[list[str]]:
        """The right answers to each."""
        texts: list[list[str]] = self.table["references"].to_pylist()
        return texts

    @property
    def metadata(self) -> list[Mapping[str, str]]:
        """The metadata of each."""
        return [dict(row or ()) for row in self.table["metadata"].to_pylist()]

    @property
    def messages(self) -> list[list[Message]]:
        """What is sent to a model where there is no prompt: the conversation up to the answer, the context in it."""
        return [json.loads(text) for text in self.table["messages"].to_pylist()]


def distinct_questions(samples: pa.Table) -> Questions:
    """Gather samples with the same question into one with several references.

    A question is an input with its context and, where the sample is a conversation, the system messages and the
    tools (see `question_keys`): in another context another answer is right.

    Args:
        samples: table in `SAMPLE_SCHEMA`, in any order.

    >>> from llmops.data.samples import sample_table
    >>> column = lambda *texts: pa.chunked_array([pa.array(texts, pa.string())])
    >>> questions = distinct_questions(
    ...     sample_table(
    ...         input=column("When?", "Who?", "When?", "When?"),
    ...         expected=column("at nine", "Ann", "at ten", "nine"),
    ...         context=column("Open from 9.", None, "Open from 10.", "Open from 9."),
    ...     )
    ... )
    >>> questions.inputs, questions.references
    (['When?', 'When?', 'Who?'], [['at ten'], ['at nine', 'nine'], ['Ann']])
    >>> questions.messages[2]
    [{'role': 'user', 'content': 'Who?'}]
    """
    order = [(name, "ascending") for name in ("input", "context", "messages", "expected", "id")]
    ordered = samples.sort_by(order)
    _, first, place = np.unique(question_keys(ordered), return_index=True, return_inverse=True)
    # Questions in the order of their first sample, samples of one question in the order of their answers.
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    number = rank[place.reshape(-1)]
    together = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[together], np.arange(len(first) + 1))
    heads = ordered.take(pa.array(np.sort(first)))
    offsets = pa.array(starts, pa.int32())

    def gathered(name: str) -> pa.Array:
        values = ordered[name].take(pa.array(together))
        return pa.ListArray.from_arrays(offsets, values.combine_chunks())

    return Questions(
        pa.table(
            {
                "id": [f"{key:016x}" for key in question_keys(heads).tolist()],
                "input": heads["input"],
                "context": heads["context"],
                "messages": [
                    _sent(row) for row in heads.select(["input", "expected", "context", "messages"]).to_pylist()
                ],
                "references": gathered("expected"),
                "sample_ids": gathered("id"),
                "group": heads["group"],
                "metadata": heads["metadata"],
            },
            schema=QUESTION_SCHEMA,
        )
    )


def _sent(row: dict[str, Any]) -> str:
    return canonical_json(to_conversation(row)["messages"][:-1])
