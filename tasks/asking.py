"""What it took to ask a model, in figures and in a line."""

from collections.abc import Mapping

from pydantic import BaseModel

from llmops.evaluation.answers import CollectionReport


class Asking(BaseModel):
    """What asking took: how many answers there are, where they are from, and what they cost.

    answered: newly asked. reused: known from before. failed: by kind of failure. unasked: never sent, or without an
    answer in a replayed column. cost: US dollars of what was newly asked; None where a price is not known. latencies:
    of all answers where they are known. replayed: they are in the dataset. retried: requests that were sent again.
    stopped: why it ended early.
    """

    answered: int
    reused: int
    failed: dict[str, int] = {}
    unasked: int = 0
    cost: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    replayed: bool = False
    retried: int = 0
    failures: dict[str, int] = {}
    stopped: str | None = None

    @classmethod
    def of(cls, report: CollectionReport, latencies: tuple[float, float] | None, *, replayed: bool) -> "Asking":
        """That of a collection, with the median and the 95 % quantile of the latencies."""
        client = report.client
        return cls(
            answered=report.answered,
            reused=report.reused,
            failed=dict(report.failed),
            unasked=report.unasked,
            cost=report.cost,
            input_tokens=report.input_tokens,
            output_tokens=report.output_tokens,
            seconds=report.seconds,
            latency_p50_s=latencies[0] if latencies else None,
            latency_p95_s=latencies[1] if latencies else None,
            replayed=replayed,
            retried=client.retried if client else 0,
            failures=dict(client.failures) if client else {},
            stopped=report.stopped,
        )

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        parts = [f"{self.answered:,} newly asked"] if self.answered else []
        if self.reused and not self.replayed:
            parts.append(f"{self.reused:,} known before")
        if self.failed:
            parts.append(f"{sum(self.failed.values()):,} failed ({_counted(self.failed)})")
        if self.unasked:
            parts.append(f"{self.unasked:,} questions without an answer")
        if self.retried:
            parts.append(f"{self.retried:,} requests sent again ({_counted(self.failures)})")
        if self.answered:
            parts.append(f"{self.input_tokens:,} tokens in, {self.output_tokens:,} out")
            parts.append("cost not known" if self.cost is None else f"${self.cost:,.4f}")
        if self.latency_p50_s is not None and self.latency_p95_s is not None:
            parts.append(f"half of them within {self.latency_p50_s:.2f} s, 95 % within {self.latency_p95_s:.2f} s")
        return ", ".join(parts)


def _counted(failed: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in failed.items())
