"""The plan of a collection: which requests it consists of, and which of them are answered already.

It lies in files in a folder of its own under the store, so that memory does not grow with the number of questions and
a batch task is handed no more than a path:

====================  ===================================================================
``requests.arrow``    every request, a record batch for each batch
``reused.arrow``      the answers that the store had, a record batch for each batch
``missing.arrow``     the keys of the rest, while it is being asked
``00000.arrow`` …     what came out, a file for each batch
====================  ===================================================================
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from llmops.evaluation.answers.budget import Budget
from llmops.evaluation.answers.requests import RequestKeys, messages_json
from llmops.evaluation.answers.schema import BATCH_SCHEMA
from llmops.evaluation.answers.sources import Source
from llmops.evaluation.answers.store import AnswerStore
from llmops.evaluation.questions import Questions
from llmops.llm.completions import Message, Parameters

REQUEST_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("question", pa.int32(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("repeat", pa.int32(), nullable=False),
        pa.field("messages", pa.large_string(), nullable=False),
    ]
)
_REUSED_SCHEMA = pa.schema([REQUEST_SCHEMA.field("row"), *BATCH_SCHEMA])
_LIVE = "owner.lock"


@dataclass(frozen=True)
class Plan:
    """What is asked of whom. Small and picklable: all else is in its folder."""

    folder: Path
    store: Path
    model: str
    source: Source
    parameters: Parameters
    budget: Budget
    run_id: str
    batches: int

    @property
    def requests_file(self) -> Path:
        """Every request, in `REQUEST_SCHEMA`."""
        return self.folder / "requests.arrow"

    @property
    def missing_file(self) -> Path:
        """The keys that are being asked; other commands wait for them."""
        return self.folder / "missing.arrow"

    @property
    def under_way(self) -> bool:
        """Whether anything is still to be asked."""
        return self.missing_file.exists()

    def answers_file(self, number: int) -> Path:
        """What came out of a batch, in `BATCH_SCHEMA`, in the order of (question, repeat)."""
        return self.folder / f"{number:05}.arrow"

    def requests(self, number: int) -> pa.RecordBatch:
        """The requests of a batch."""
        return _record_batch(self.requests_file, number)

    def reused(self, number: int) -> pa.RecordBatch:
        """The answers to a batch that the store had."""
        return _record_batch(self.folder / "reused.arrow", number)

    def missing(self, number: int) -> pa.RecordBatch:
        """The requests of a batch that nobody has answered yet."""
        requests = self.requests(number)
        return requests.filter(pc.invert(pc.is_in(requests["row"], value_set=self.reused(number)["row"])))


def write_requests(
    plan: Plan, questions: Questions, messages: Sequence[Sequence[Message]] | None, repeats: int, batch_size: int
) -> None:
    """Write every request of a run, `batch_size` questions at a time."""
    keys = RequestKeys(plan.model, plan.parameters)
    with pa.OSFile(str(plan.requests_file), "wb") as file, pa.ipc.new_file(file, REQUEST_SCHEMA) as writer:
        for start in range(0, len(questions), batch_size):
            stop = min(start + batch_size, len(questions))
            part = questions.slice(start, stop)
            asked = part.messages if messages is None else messages[start:stop]
            texts = [messages_json(one) for one in asked]
            rows = range(start * repeats, stop * repeats)
            columns = [
                pa.array(rows, pa.int32()),
                pa.array([keys.key(one, repeat) for one in asked for repeat in range(repeats)]),
                pa.array([row // repeats for row in rows], pa.int32()),
                pa.array([one for one in part.table["id"].to_pylist() for _ in range(repeats)]),
                pa.array([row % repeats for row in rows], pa.int32()),
                pa.array([text for text in texts for _ in range(repeats)], pa.large_string()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=REQUEST_SCHEMA))


def look_up(plan: Plan, store: AnswerStore, *, fresh: bool) -> list[int]:
    """Write which answers the store has, and which keys are missing; returns how many these are in each batch.

    Args:
        fresh: leave the store's answers aside.
    """
    found = iter(()) if fresh else store.find(plan.model, plan.requests_file, plan.folder / "spilled")
    waiting = pa.table({name: [] for name in _REUSED_SCHEMA.names}, schema=_REUSED_SCHEMA)
    missing = []
    key_schema = pa.schema([REQUEST_SCHEMA.field("key")])
    with (
        pa.OSFile(str(plan.folder / "reused.arrow"), "wb") as reused_file,
        pa.ipc.new_file(reused_file, _REUSED_SCHEMA) as reused,
        pa.OSFile(str(plan.missing_file), "wb") as missing_file,
        pa.ipc.new_file(missing_file, key_schema) as keys,
    ):
        for number in range(plan.batches):
            requests = plan.requests(number)
            end = requests["row"][-1].as_py()
            # The answers come in the order of their rows: take them in until they reach beyond this batch.
            while (not len(waiting) or waiting["row"][-1].as_py() <= end) and (more := next(found, None)) is not None:
                waiting = pa.concat_tables([waiting, pa.Table.from_batches([more]).cast(_REUSED_SCHEMA)])
            here = waiting.filter(pc.less_equal(waiting["row"], end))
            waiting = waiting.slice(len(here)).combine_chunks()
            reused.write_batch(_one_batch(here, _REUSED_SCHEMA))
            left = requests.filter(pc.invert(pc.is_in(requests["row"], value_set=here["row"])))
            missing.append(len(left))
            keys.write_batch(left.select(["key"]))
    shutil.rmtree(plan.folder / "spilled", ignore_errors=True)
    return missing


def write_answers(plan: Plan, number: int, new: pa.Table) -> None:
    """Write a batch's file from the answers that were reused and the new ones, failed ones among them.

    Args:
        new: answers in `ANSWER_SCHEMA`; one answer goes to every request of the batch that has its key.
    """
    missing = plan.missing(number)
    place = pc.index_in(missing["key"], value_set=new["key"])
    asked = pa.Table.from_batches([missing]).filter(place.is_valid())
    answers = new.take(place.drop_null())
    for name in ("question_id", "repeat"):
        answers = answers.set_column(answers.schema.get_field_index(name), BATCH_SCHEMA.field(name), asked[name])
    answers = answers.append_column(BATCH_SCHEMA.field("question"), asked["question"])
    reused = pa.Table.from_batches([plan.reused(number)]).drop_columns(["row"])
    table = pa.concat_tables([reused, answers.cast(BATCH_SCHEMA)]).sort_by(
        [("question", "ascending"), ("repeat", "ascending")]
    )
    draft = plan.answers_file(number).with_suffix(".draft")
    with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, BATCH_SCHEMA) as writer:
        writer.write_batch(_one_batch(table, BATCH_SCHEMA))
    draft.replace(plan.answers_file(number))


def duplicate_keys(plan: Plan) -> frozenset[str]:
    """The keys that more than one request has: different questions, the same messages."""
    keys = pa.chunked_array([plan.requests(number)["key"] for number in range(plan.batches)], pa.string())
    counted = pa.table({"key": keys}).group_by("key").aggregate([([], "count_all")])
    return frozenset(counted.filter(pc.greater(counted["count_all"], 1))["key"].to_pylist())


def new_folder(runs: Path) -> tuple[Path, FileLock]:
    """A folder for a plan, and the lock that says that its owner lives."""
    folder = runs / uuid4().hex
    folder.mkdir(parents=True)
    lock = FileLock(folder / _LIVE, thread_local=False)
    lock.acquire()
    return folder, lock


def remove_abandoned(runs: Path) -> None:
    """Remove the folders of processes that died."""
    for folder in runs.glob("*"):
        # A folder without a lock is just being made, or just being removed.
        if (folder / _LIVE).exists() and not _lives(folder):
            shutil.rmtree(folder, ignore_errors=True)


def asked_elsewhere(plan: Plan, runs: Path) -> Path | None:
    """The `missing_file` of another live plan that is asking a request of this one; None where there is none."""
    mine = _keys(plan.missing_file)
    for other in runs.glob(f"*/{plan.missing_file.name}"):
        if other == plan.missing_file:
            continue
        with suppress(OSError, pa.ArrowInvalid):  # it has just ended
            if pc.any(pc.is_in(mine, value_set=_keys(other))).as_py() and _lives(other.parent):
                return other
    return None


def still_asked(missing_file: Path) -> bool:
    """Whether a plan that `asked_elsewhere` found is still under way."""
    return missing_file.exists() and _lives(missing_file.parent)


def _lives(folder: Path) -> bool:
    try:
        with FileLock(folder / _LIVE, timeout=0, thread_local=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _keys(file: Path) -> pa.ChunkedArray:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()["key"]


def _record_batch(file: Path, number: int) -> pa.RecordBatch:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).get_batch(number)


def _one_batch(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    batches: Iterator[pa.RecordBatch] = iter(table.combine_chunks().to_batches())
    return next(batches, None) or pa.RecordBatch.from_pylist([], schema)
