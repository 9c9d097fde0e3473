import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from llmops.data import SAMPLE_SCHEMA, DatasetStore, DatasetVersion, SourceFile
from llmops.data.splits import assign_splits
from llmops.data.versions import samples_digest
from llmops.errors import InputError

Samples = Callable[..., pa.Table]
Tables = list[pa.Table]
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "datasets")


@pytest.fixture
def tables(samples: Samples) -> Tables:
    return [prepared(samples, topic) for topic in ("one", "two")]


def prepared(samples: Samples, topic: str) -> pa.Table:
    return assign_splits(samples([(f"{topic} {number}", "x") for number in range(40)]), SHARES, 0).table


def test_a_version_comes_back_as_it_was_published(store: DatasetStore, tables: Tables) -> None:
    sources = [SourceFile(path="a.csv", digest="0" * 64, rows=40)]
    first = store.publish(
        "tickets", tables[0], kind="golden", sources=sources, config={"r": (0.8, 0.2)}, code_commit="c"
    )
    second = store.publish("tickets", tables[1], kind="golden")
    assert (first.uri, first.parent, second.uri, second.parent) == ("tickets@1", None, "tickets@2", 1)
    assert sum(first.counts.values()) == 40
    for version, table in zip((first, second), tables, strict=True):
        assert DatasetVersion.model_validate_json(version.model_dump_json()) == version
        assert store.resolve(version.uri) == version
        read = store.read(version)
        assert read.schema.equals(SAMPLE_SCHEMA)
        assert read.equals(table)
        splits = [store.read(version, split) for split in SHARES]
        assert [len(rows) for rows in splits] == list(version.counts.values())
        assert set(splits[2]["split"].to_pylist()) == {"test"}
    assert store.resolve("tickets") == store.resolve("tickets@latest") == second
    assert store.versions("tickets") == [first, second]
    assert store.names() == ["tickets"]


def test_samples_keep_context_metadata_and_any_text(store: DatasetStore, samples: Samples) -> None:
    table = samples([("🙂\u202e\r\n\x01", "\ufeffß")])
    context = pa.array([""], pa.string())
    metadata = pa.array([[("key", "x"), ("k2", "")]], pa.map_(pa.string(), pa.string()))
    table = table.set_column(3, "context", context).set_column(4, "metadata", metadata)
    table = table.set_column(6, "split", pa.array(["train"])).cast(SAMPLE_SCHEMA)
    assert store.read(store.publish("odd", table)).equals(table)


def files_below(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.name != ".lock"}


def test_the_same_content_and_configuration_write_nothing(store: DatasetStore, tables: Tables) -> None:
    first = store.publish("a", tables[0], config={"ratios": (0.8, 0.1, 0.1)})
    before = files_below(store.root)
    shuffled = tables[0].take(list(range(39, -1, -1)))
    assert store.publish("a", shuffled, config={"ratios": [0.8, 0.1, 0.1]}) == first
    assert files_below(store.root) == before


def test_old_content_again_is_a_new_version_over_the_same_rows(store: DatasetStore, tables: Tables) -> None:
    first = store.publish("a", tables[0])
    store.publish("a", tables[1])
    rows = DeltaTable(store.root / "a" / "samples").version()
    third = store.publish("a", tables[0])
    other = store.publish("a", tables[0], config={"seed": 0})
    assert (third.number, other.number, third.digest) == (3, 4, first.digest)
    assert DeltaTable(store.root / "a" / "samples").version() == rows
    assert store.read(third).equals(store.read(first))


def test_the_digest_is_of_content_split_and_group(tables: Tables) -> None:
    digest = samples_digest(tables[0])
    assert samples_digest(tables[0].take(list(range(39, -1, -1)))) == digest
    for column in ("split", "group"):
        changed = tables[0].set_column(
            SAMPLE_SCHEMA.get_field_index(column), column, pa.array(["train"] * 40, pa.string())
        )
        assert samples_digest(changed) != digest
    assert samples_digest(tables[1]) != digest


def test_unknown_references_list_what_exists(store: DatasetStore, tables: Tables) -> None:
    with pytest.raises(InputError, match="there are: none yet"):
        store.resolve("a")
    store.publish("a", tables[0])
    store.publish("b.2", tables[0])
    with pytest.raises(InputError, match=r"no dataset 'c' in .*; there are: a, b\.2"):
        store.resolve("c@1")
    for number in ("2", "0", "01", "x"):
        with pytest.raises(InputError, match=f"no version '{number}'; its versions are 1"):
            store.resolve(f"a@{number}")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "é", "a@1", "x" * 101, "a\n"])
def test_names_that_are_none(store: DatasetStore, tables: Tables, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        store.publish(name, tables[0])
    assert not store.root.exists()


def die_between_the_commits(root: Path, table: pa.Table) -> None:
    store = DatasetStore(root)
    store._append_version = lambda version: os._exit(9)  # type: ignore[method-assign]
    store.publish("a", table)


def publish_own(root: Path, table: pa.Table, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    DatasetStore(root).publish("a", table)


def test_a_death_between_the_commits_leaves_the_old_latest(store: DatasetStore, tables: Tables) -> None:
    first = store.publish("a", tables[0])
    process = multiprocessing.get_context("spawn").Process(target=die_between_the_commits, args=(store.root, tables[1]))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert store.versions("a") == [first]
    assert store.read(store.resolve("a")).equals(tables[0])
    orphaned = DeltaTable(store.root / "a" / "samples").version()
    assert orphaned == 1
    second = store.publish("a", tables[1])
    assert second.number == 2
    assert store.read(second).equals(tables[1])
    assert DeltaTable(store.root / "a" / "samples").version() == orphaned


def test_a_death_in_the_first_publication_leaves_no_name(
    store: DatasetStore, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(version: DatasetVersion) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_append_version", fail)
    with pytest.raises(KeyboardInterrupt):
        store.publish("a", tables[0])
    monkeypatch.undo()
    assert (store.names(), store.versions("a")) == ([], [])
    assert store.publish("a", tables[0]).number == 1


def test_publishers_at_the_same_time_each_get_a_version(store: DatasetStore, samples: Samples) -> None:
    context = multiprocessing.get_context("spawn")
    contents = [prepared(samples, topic) for topic in ("one", "two", "three")]
    barrier = context.Barrier(len(contents))
    processes = [context.Process(target=publish_own, args=(store.root, table, barrier)) for table in contents]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    published = store.versions("a")
    assert [version.number for version in published] == [1, 2, 3]
    assert {version.digest for version in published} == {samples_digest(table) for table in contents}
    for version in published:
        assert samples_digest(store.read(version)) == version.digest


def test_versions_outlive_the_log_they_were_written_in(store: DatasetStore, tables: Tables) -> None:
    versions = [store.publish("a", table) for table in (*tables, *tables)]
    for part in ("samples", "versions"):
        delta = DeltaTable(store.root / "a" / part)
        delta.create_checkpoint()
        log = store.root / "a" / part / "_delta_log"
        for entry in log.glob("*.json"):
            if int(entry.stem) < delta.version():
                entry.unlink()
    assert store.versions("a") == versions
    assert store.read(versions[0]).equals(tables[0])


def test_order_and_content_survive_a_rewrite_of_the_files(store: DatasetStore, tables: Tables) -> None:
    version = store.publish("a", tables[0])
    DeltaTable(store.root / "a" / "samples").optimize.z_order(["id"])
    assert store.read(version).equals(tables[0])
