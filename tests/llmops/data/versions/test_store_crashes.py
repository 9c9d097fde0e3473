"""Published versions and what befalls them: writers killed at any moment, writers at once, age, careless clean-ups."""

import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.data.versions.manifest import DatasetVersion
from llmops.data.versions.store import DatasetStore

ROWS = 100
KILLS = 20


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start in milliseconds, because the one they come from has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["llmops.data.versions.store"])
    return context


def content(number: int) -> pa.Table:
    """The samples that belong into version `number`."""
    texts = [pa.chunked_array([[f"{part} {number} {row}" for row in range(ROWS)]]) for part in ("question", "answer")]
    table = sample_table(input=texts[0], expected=texts[1])
    column = SAMPLE_SCHEMA.get_field_index("split")
    splits = ["test" if row % 10 == 0 else "train" for row in range(ROWS)]
    return table.set_column(column, SAMPLE_SCHEMA.field(column), pa.array(splits))


def write_on_and_on(root: Path, started: Event, linger: float) -> None:
    """Publish the next version, and the next, and wait a little before each is recorded."""
    store = DatasetStore(root)
    record = store._append_version

    def record_late(version: DatasetVersion) -> None:
        time.sleep(linger)
        record(version)

    store._append_version = record_late  # type: ignore[method-assign]
    started.set()
    while True:
        store.publish("a", content(len(store.versions("a")) + 1))


def test_a_writer_killed_at_any_moment_leaves_whole_versions(tmp_path: Path, processes: ForkServerContext) -> None:
    store, chance, seen = DatasetStore(tmp_path), random.Random(7), 0
    for _ in range(KILLS):
        started = processes.Event()
        linger = chance.choice([0.0, 0.03])
        writer = processes.Process(target=write_on_and_on, args=(tmp_path, started, linger))
        writer.start()
        assert started.wait(60)
        time.sleep(chance.uniform(0, 0.12))
        writer.kill()
        writer.join()
        published = store.versions("a")
        assert [version.number for version in published] == list(range(1, len(published) + 1))
        assert store.names() == (["a"] if published else [])
        assert len(published) >= seen
        for version in published[max(seen - 1, 0) :]:
            assert store.read(version).equals(content(version.number))
        seen = len(published)
    last = store.publish("a", content(seen + 1))
    assert last.number == seen + 1
    for version in store.versions("a"):
        assert store.read(version).equals(content(version.number))


def die_between_the_commits(root: Path) -> None:
    """Write the samples of a second version and die before it is recorded, holding both locks."""
    store = DatasetStore(root)
    store._append_version = lambda version: os._exit(9)  # type: ignore[method-assign]
    with store.editing("a"):
        store.publish("a", content(2))


def test_a_death_between_the_commits_leaves_rows_that_are_used_and_no_lock(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    store = DatasetStore(tmp_path)
    first = store.publish("a", content(1))
    writer = processes.Process(target=die_between_the_commits, args=(tmp_path,))
    writer.start()
    writer.join(60)
    assert writer.exitcode == 9
    assert store.versions("a") == [first]
    assert store.read(store.resolve("a")).equals(content(1))
    orphaned = DeltaTable(tmp_path / "a" / "samples").version()
    assert orphaned == 1
    with store.editing("a"):
        second = store.publish("a", content(2))
    assert second.number == 2
    assert store.read(second).equals(content(2))
    assert DeltaTable(tmp_path / "a" / "samples").version() == orphaned


def publish_own(root: Path, first: int, together: Barrier) -> None:
    """Publish three versions, beginning when all are ready."""
    together.wait(60)
    for number in range(first, first + 3):
        DatasetStore(root).publish("a", content(number))


@pytest.mark.parametrize("writers", [2, 4])
def test_writers_at_once_each_get_versions_of_their_own(
    writers: int, tmp_path: Path, processes: ForkServerContext
) -> None:
    together = processes.Barrier(writers)
    running = [
        processes.Process(target=publish_own, args=(tmp_path, 100 * writer, together)) for writer in range(writers)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * writers
    store = DatasetStore(tmp_path)
    published = store.versions("a")
    assert [version.number for version in published] == list(range(1, 3 * writers + 1))
    numbers = [100 * writer + one for writer in range(writers) for one in range(3)]
    by_first_row = {content(number)["id"][0].as_py(): number for number in numbers}
    found = []
    for version in published:
        table = store.read(version)
        found.append(by_first_row[table["id"][0].as_py()])
        assert table.equals(content(found[-1]))
    assert sorted(found) == numbers


def age(table: Path, days: int) -> None:
    """Make a Delta table as old as if nobody had touched it for days."""
    back = days * 86_400
    for entry in (table / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in lines:
            for kind, key in (("commitInfo", "timestamp"), ("add", "modificationTime"), ("metaData", "createdTime")):
                if kind in action and key in action[kind]:
                    action[kind][key] -= 1000 * back
        entry.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for file in table.rglob("*"):
        if file.is_file():
            os.utime(file, (time.time() - back, time.time() - back))


def checkpoint(table: DeltaTable) -> None:
    table.create_checkpoint()


def clean_the_log(table: DeltaTable) -> None:
    table.cleanup_metadata()
    log = Path(table.table_uri.removeprefix("file://")) / "_delta_log"
    assert not (log / f"{0:020}.json").exists()  # the entries are gone: time travel could not read what we read


def compact(table: DeltaTable) -> None:
    table.optimize.compact()


def reorder(table: DeltaTable) -> None:
    table.optimize.z_order(["number" if "number" in table.schema().to_arrow().names else "id"])


def vacuum(table: DeltaTable) -> None:
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)


@pytest.mark.parametrize(
    "acts",
    [
        [checkpoint, clean_the_log],
        [compact, vacuum],
        [reorder, vacuum],
        [compact, checkpoint, clean_the_log, vacuum],
        [vacuum, reorder, checkpoint, vacuum, clean_the_log],
    ],
    ids=lambda acts: "+".join(act.__name__ for act in acts),
)
def test_every_version_is_read_40_days_later_whatever_was_done(
    acts: list[Callable[[DeltaTable], None]], tmp_path: Path
) -> None:
    store = DatasetStore(tmp_path)
    for number in (1, 2, 1, 3):  # the third has the content of the first
        store.publish("a", content(number))
    published = store.versions("a")
    for part in ("samples", "versions"):
        age(tmp_path / "a" / part, days=40)
        for act in acts:
            act(DeltaTable(tmp_path / "a" / part))
    assert store.versions("a") == published
    for version, number in zip(published, (1, 2, 1, 3), strict=True):
        assert store.read(version).equals(content(number))
        assert pa.Table.from_batches(store.batches(version, "test"))["split"].to_pylist() == ["test"] * (ROWS // 10)
    assert store.publish("a", content(2)).number == 5
    assert store.publish("a", content(4)).number == 6
    assert store.read(store.resolve("a")).equals(content(4))
