import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from filelock import Timeout

from llmops.data import SAMPLE_SCHEMA, SPLITS, DatasetStore, DatasetVersion, SourceFile
from llmops.data.samples import content_ids
from llmops.data.versions import row_files, row_ranges
from llmops.data.versions import store as module
from llmops.data.versions.digest import version_digest
from llmops.data.versions.manifest import EditRecord
from llmops.errors import InputError

Samples = Callable[..., pa.Table]
Tables = list[pa.Table]


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "datasets")


@pytest.fixture
def tables(samples: Samples) -> Tables:
    return [prepared(samples, topic) for topic in ("one", "two")]


def prepared(samples: Samples, topic: str) -> pa.Table:
    """40 samples: every eighth is for validation, every tenth a test."""
    table = samples([(f"{topic} {number}", "x") for number in range(40)])
    splits = ["validation" if number % 8 == 1 else "test" if number % 10 == 2 else "train" for number in range(40)]
    return table.set_column(table.schema.get_field_index("split"), SAMPLE_SCHEMA.field("split"), pa.array(splits))


def digest_of(table: pa.Table) -> str:
    return version_digest(table.to_batches()).samples


def test_a_version_comes_back_as_it_was_published(store: DatasetStore, tables: Tables) -> None:
    sources = [SourceFile(path="a.csv", digest="0" * 64, rows=40)]
    first = store.publish(
        "tickets", tables[0], kind="golden", sources=sources, config={"r": (0.8, 0.2)}, code_commit="c"
    )
    second = store.publish("tickets", tables[1], kind="golden")
    assert (first.uri, first.parent, second.uri, second.parent) == ("tickets@1", None, "tickets@2", 1)
    assert first.counts == {"train": 31, "validation": 5, "test": 4}
    for version, table in zip((first, second), tables, strict=True):
        assert DatasetVersion.model_validate_json(version.model_dump_json()) == version
        assert store.resolve(version.uri) == version
        read = store.read(version)
        assert read.schema.equals(SAMPLE_SCHEMA)
        assert read.equals(table)
        splits = [store.read(version, split) for split in SPLITS]
        assert [len(rows) for rows in splits] == list(version.counts.values())
        assert set(splits[2]["split"].to_pylist()) == {"test"}
    assert store.resolve("tickets") == store.resolve("tickets@latest") == second
    assert store.versions("tickets") == [first, second]
    assert store.names() == ["tickets"]


def test_samples_keep_context_metadata_and_any_text(store: DatasetStore, samples: Samples) -> None:
    table = samples([("🙂\u202e\r\n\x01", "\ufeffß")])
    context = pa.array([""], pa.string())
    metadata = pa.array([[("key", "x"), ("k2", "")]], pa.map_(pa.string(), pa.string()))
    columns = {"context": context, "metadata": metadata, "split": ["train"], "messages": ['{"messages":[]}']}
    columns["quality"] = pa.array([0.25], pa.float32())
    table = pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **columns}, schema=SAMPLE_SCHEMA)
    table = table.set_column(0, SAMPLE_SCHEMA.field("id"), content_ids(table.to_batches()[0]))
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
    digest = digest_of(tables[0])
    assert digest_of(tables[0].take(list(range(39, -1, -1)))) == digest
    for column in ("split", "group"):
        changed = tables[0].set_column(
            SAMPLE_SCHEMA.get_field_index(column), column, pa.array(["train"] * 40, pa.string())
        )
        assert digest_of(changed) != digest
    assert digest_of(tables[1]) != digest


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


def test_batches_are_read_in_order_and_more_than_once(
    store: DatasetStore, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.publish("a", tables[0].to_batches(max_chunksize=7))
    monkeypatch.setattr(row_ranges, "RANGE_ROWS", 16)
    monkeypatch.setattr(module, "BATCH_ROWS", 5)
    stored = store.batches(version)
    assert max(len(batch) for batch in stored) == 5
    assert pa.Table.from_batches(stored).equals(tables[0])
    test = store.batches(version, "test")
    assert len(test) == len(store.read(version, "test")) == 4
    ids = [batch.to_pydict() for batch in test.select(["id"])]
    assert [one for batch in ids for one in batch["id"]] == store.read(version, "test")["id"].to_pylist()
    assert store.publish("b", stored).digest == version.digest


def test_what_cannot_be_a_version_is_refused(store: DatasetStore, tables: Tables) -> None:
    table = tables[0]
    column = SAMPLE_SCHEMA.get_field_index("split")
    unsplit = table.set_column(column, SAMPLE_SCHEMA.field(column), pa.nulls(40, pa.string()))
    for samples, complaint in (
        (unsplit, r"40 sample\(s\) have the split None; the splits are train, validation, test"),
        (pa.concat_tables([table, table.slice(3, 2)]), r"2 sample id\(s\) occur more than once"),
        (table.slice(0, 0), "there are no samples"),
    ):
        with pytest.raises(InputError, match=complaint):
            store.publish("a", samples)
    with pytest.raises(TypeError, match="gone through twice"):
        store.publish("a", iter(table.to_batches()))
    assert store.names() == []


def test_the_manifest_keeps_report_parent_and_edit(store: DatasetStore, tables: Tables) -> None:
    store.publish("a", tables[0], report={"read": 41, "dropped": {"exact repeat": 1}})
    store.publish("a", tables[1])
    edit = EditRecord(reason="labels were wrong", added=1, retired=2)
    store.publish("a", tables[0], parent=1, edit=edit, config={"seed": 1})
    first, second, third = store.versions("a")
    assert (first.report, second.report) == ({"read": 41, "dropped": {"exact repeat": 1}}, None)
    assert (third.parent, third.edit, third.rows_digest) == (1, edit, first.rows_digest)


def test_other_quality_is_another_version_of_the_same_digest(store: DatasetStore, tables: Tables) -> None:
    scored = tables[0].set_column(8, SAMPLE_SCHEMA.field(8), pa.array([0.5] * 40, pa.float32()))
    first, second = store.publish("a", tables[0]), store.publish("a", scored)
    assert (first.number, second.number, first.digest) == (1, 2, second.digest)
    assert store.read(first).equals(tables[0])
    assert store.read(second).equals(scored)


def test_the_digest_is_what_its_description_says(tables: Tables) -> None:
    rows = [
        hashlib.sha256(f"{row['id']}\0{row['split']}\0{row['group']}".encode()).digest()[:16]
        for row in tables[0].to_pylist()
    ]
    assert digest_of(tables[0]) == hashlib.sha256(b"".join(sorted(rows))).hexdigest()


def test_a_store_of_another_release_says_so(store: DatasetStore, tables: Tables) -> None:
    version = store.publish("a", tables[0])
    old_rows = (
        tables[0]
        .drop_columns(["messages", "quality"])
        .append_column("rows_digest", pa.array([version.rows_digest] * 40))
    )
    write_deltalake(store.root / "a" / "samples", old_rows, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(InputError, match=r"a: written by another release of llmops; move it away and prepare"):
        store.read(version)
    row = pa.table({"number": [1], "digest": ["0"], "manifest": ['{"name": "b", "number": 1}']})
    write_deltalake(store.root / "b" / "versions", row)
    with pytest.raises(InputError, match="b: written by another release"):
        store.resolve("b")


def test_files_removed_from_outside_are_noticed_before_a_version_is_recorded(
    store: DatasetStore, tables: Tables
) -> None:
    first = store.publish("a", tables[0])
    store.publish("a", tables[1])
    next((store.root / "a" / "samples" / f"rows_digest={first.rows_digest}").glob("*.parquet")).unlink()
    with pytest.raises(InputError, match="were removed or changed from outside, so a was not published"):
        store.publish("a", tables[0])
    assert len(store.versions("a")) == 2


def test_long_texts_are_written_and_read_a_few_at_a_time(
    store: DatasetStore, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 20_000
    for where, name in ((row_files, "BATCH_BYTES"), (row_files, "FILE_BYTES"), (row_ranges, "RANGE_BYTES")):
        monkeypatch.setattr(where, name, limit)
    table = samples([(f"{number} " + "x" * (5_000 if number % 3 else 10), "y") for number in range(60)])
    table = table.set_column(7, SAMPLE_SCHEMA.field(7), pa.array(["test", "train"] * 30))
    version = store.publish("long", table)
    assert len(list(store.root.glob("long/samples/*/*.parquet"))) > 5
    for _ in range(2):
        read = list(store.batches(version))
        assert max(batch.nbytes for batch in read) <= limit
        assert pa.Table.from_batches(read).equals(table)
        assert store.read(version, "test").equals(table.take(list(range(0, 60, 2))))
        # Now as another writer leaves them: all rows in one file, by id.
        DeltaTable(store.root / "long" / "samples").optimize.z_order(["id"])
        assert len(DeltaTable(store.root / "long" / "samples").file_uris()) == 1


@pytest.mark.parametrize("column", ["input", "expected", "context", "messages", "metadata"])
def test_changed_content_under_the_same_ids_is_refused(store: DatasetStore, tables: Tables, column: str) -> None:
    first = store.publish("a", tables[0])
    place = SAMPLE_SCHEMA.get_field_index(column)
    field = SAMPLE_SCHEMA.field(place)
    values = tables[0][column].to_pylist()
    values[17] = [("key", "new")] if column == "metadata" else "new"
    changed = tables[0].set_column(place, field, pa.array(values, field.type))
    with pytest.raises(InputError, match=f"the sample '{tables[0]['id'][17]}' does not have the id of its content"):
        store.publish("a", changed.to_batches(max_chunksize=7))
    assert store.versions("a") == [first]


def test_a_failure_while_writing_leaves_no_files(
    store: DatasetStore, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "BATCH_BYTES", 1_000)
    monkeypatch.setattr(row_files, "FILE_BYTES", 1_000)

    class ReadableOnce:
        readings = 0

        def __iter__(self) -> Iterator[pa.RecordBatch]:
            self.readings += 1
            for number, batch in enumerate(tables[0].to_batches(max_chunksize=5)):
                if self.readings == 2 and number == 5:
                    raise OSError("the source is gone")
                yield batch

    with pytest.raises(OSError, match="the source is gone"):
        store.publish("a", ReadableOnce())
    assert list(store.root.rglob("*.parquet")) == []
    assert store.publish("a", tables[0]).number == 1


def test_other_engines_append_and_read_the_same_table(store: DatasetStore, tables: Tables) -> None:
    version = store.publish("a", tables[0])
    table = DeltaTable(store.root / "a" / "samples")
    assert table.metadata().partition_columns == ["rows_digest"]
    assert table.to_pyarrow_table().num_rows == 40
    assert set(pa.table(table.get_add_actions(flatten=True))["num_records"].to_pylist()) == {40}
    foreign = (
        tables[1].append_column("position", pa.array(range(40))).append_column("rows_digest", pa.array(["f"] * 40))
    )
    write_deltalake(table, foreign.cast(row_files.ROWS_SCHEMA), mode="append")
    assert store.read(version).equals(tables[0])


def test_an_edit_that_publishes_nothing_leaves_no_dataset(store: DatasetStore, tables: Tables) -> None:
    with pytest.raises(InputError, match="no sample"), store.editing("a"):
        store.publish("a", tables[0].slice(0, 0))
    assert [path for path in store.root.iterdir() if path.is_dir()] == []
    assert store.names() == []
    with store.editing("a"), pytest.raises(Timeout), store.editing("a").acquire(timeout=0):
        pass
