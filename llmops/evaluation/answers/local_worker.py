"""Answers of a model whose weights are on this machine."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from llmops.errors import InputError
from llmops.evaluation.answers.asking import answered
from llmops.evaluation.answers.budget import Spending
from llmops.evaluation.answers.journal import Segment
from llmops.evaluation.answers.plan import Plan
from llmops.evaluation.answers.sources import LocalSource
from llmops.llm.client import ClientReport
from llmops.llm.completions import Completion, Message


class LocalWorker:
    """One loaded model, which answers a few prompts at a time.

    Raises InputError where the parameters do not say how long an answer may be.
    """

    def __init__(self, plan: Plan, source: LocalSource) -> None:
        from llmops.llm import LocalModel

        if plan.parameters.max_tokens is None:
            raise InputError(f"{source.label}: a model on this machine must be told how long an answer may be")
        self.spending = Spending(plan.budget)
        self.stopped: str | None = None
        self.error: Exception | None = None
        self.report: ClientReport | None = None
        self._plan = plan
        self._source = source
        self._longest = plan.parameters.max_tokens
        self._model = LocalModel.load(source.path)

    def ask(self, requests: pa.RecordBatch, segment: Segment) -> Spending:
        """Answer requests into a segment, prompts of like length together; returns what it took."""
        spent = Spending()
        # The longest first, so that a lack of memory shows at once.
        rows = sorted(requests.to_pylist(), key=lambda row: len(row["messages"]), reverse=True)
        for start in range(0, len(rows), self._source.batch_size):
            self.stopped = self.stopped or self.spending.exhausted
            if self.stopped:
                break
            self._generate(rows[start : start + self._source.batch_size], segment, spent)
            segment.sync()
        return spent

    def abandon(self, reason: str) -> None:
        """Generate nothing more after the prompts that are being answered."""
        self.stopped = self.stopped or reason

    def close(self) -> None:
        """Nothing to close: the weights go with the object."""

    def _generate(self, rows: Sequence[Mapping[str, Any]], segment: Segment, spent: Spending) -> None:
        started = time.perf_counter()
        conversations = [orjson.loads(row["messages"]) for row in rows]
        texts = self._model.generate(
            prompts(conversations),
            max_new_tokens=self._longest,
            batch_size=self._source.batch_size,
            num_beams=self._source.num_beams,
        )
        latency_s = (time.perf_counter() - started) / len(rows)
        for row, conversation, text in zip(rows, conversations, texts, strict=True):
            written = self._tokens(text)
            completion = Completion(
                text=text,
                model=self._source.label,
                input_tokens=sum(self._tokens(str(message.get("content") or "")) for message in conversation),
                output_tokens=written,
                cost=0.0,
                latency_s=latency_s,
                finish_reason="length" if written >= self._longest else "stop",
            )
            segment.append(
                {
                    "key": row["key"],
                    "model": self._plan.model,
                    "question_id": row["question_id"],
                    "repeat": row["repeat"],
                    "answered_at": time.time_ns() // 1000,
                    "run_id": self._plan.run_id,
                    **answered(completion),
                }
            )
            self.spending.add(completion)
            spent.add(completion)

    def _tokens(self, text: str) -> int:
        return len(self._model.tokenizer(text, add_special_tokens=False)["input_ids"])


def prompts(conversations: Sequence[Sequence[Message]]) -> Sequence[Any]:
    """What a local model is given: texts where every conversation is one message of the user, else conversations.

    >>> prompts([[{"role": "user", "content": "Why?"}]])
    ['Why?']
    """
    if all(len(one) == 1 and one[0]["role"] == "user" and isinstance(one[0]["content"], str) for one in conversations):
        return [one[0]["content"] for one in conversations]
    return conversations
