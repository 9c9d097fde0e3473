"""What a collection leaves: the answers in files, and a report of what they took."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
from filelock import BaseFileLock

from llmops.evaluation.answers.budget import Spending
from llmops.llm.client import ClientReport


@dataclass(frozen=True)
class CollectionReport:
    """What came of a collection; answered + reused + failed + unasked is the number of requests.

    Attributes:
        answered: requests that were sent and answered.
        reused: requests that an earlier answer to the same request stood for.
        failed: requests without an answer, by the kind of their error; the next run asks them again.
        unasked: requests that were not sent, because the run stopped before, or that a replayed column has no
            answer to.
        cost: US dollars, of the new answers; None where it is not known of each.
        input_tokens, output_tokens: of the new answers.
        seconds: that it took.
        stopped: why it ended before all was asked, in a sentence; None where it did not.
        client: what the client of an endpoint has done; None where it was not needed.
    """

    answered: int
    reused: int
    failed: Mapping[str, int]
    unasked: int
    cost: float | None
    input_tokens: int
    output_tokens: int
    seconds: float
    stopped: str | None
    client: ClientReport | None


@dataclass(frozen=True)
class Collected:
    """The answers of a run, and the folder they lie in, which is removed when the block ends.

    batches: Arrow IPC files in `BATCH_SCHEMA`, in the order of (question, repeat) within a file and over the files.
    """

    folder: Path
    batches: list[Path]
    report: CollectionReport
    lock: BaseFileLock = field(repr=False)

    def tables(self) -> Iterator[pa.Table]:
        """The answers of one batch after the other, mapped from its file rather than read."""
        for file in self.batches:
            yield table_of(file)

    def close(self) -> None:
        """Remove the folder."""
        remove_folder(self.folder, self.lock)

    def __enter__(self) -> "Collected":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def table_of(file: Path) -> pa.Table:
    """The table in an Arrow IPC file, mapped from it."""
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


def remove_folder(folder: Path, lock: BaseFileLock) -> None:
    """Remove a plan's folder and let go of it."""
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def make_report(
    files: list[Path],
    total: int,
    spent: Spending,
    *,
    seconds: float,
    stopped: str | None = None,
    client: ClientReport | None = None,
) -> CollectionReport:
    """Count what lies in a run's files.

    Args:
        total: number of requests.
        stopped: the reason alone.
    """
    answers = 0
    failed: Counter[str] = Counter()
    for file in files:
        table = table_of(file)
        answers += len(table) - table["text"].null_count
        for one in pc.value_counts(table["error_kind"].drop_null()).to_pylist():
            failed[one["values"]] += one["counts"]
    unasked = total - answers - failed.total()
    return CollectionReport(
        answered=spent.answered,
        reused=answers - spent.answered,
        failed=dict(failed),
        unasked=unasked,
        cost=spent.cost,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        seconds=seconds,
        stopped=stopped and f"Stopped: {stopped}; {unasked:,} of {total:,} requests were not asked.",
        client=client,
    )
