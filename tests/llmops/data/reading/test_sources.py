import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmops.data.reading.readers import read_samples
from llmops.data.reading.sources import find_sources
from llmops.errors import InputError
from llmops.settings import settings

ROW = b'{"input": "a", "expected": "b"}\n'
FILES = ["a.jsonl", "b.csv.gz", "sub/c.parquet", "sub/deep/d.JSON", "sub/deep/e[1].tsv.zst"]
PASSED_OVER = [".hidden.jsonl", "_SUCCESS", "_delta_log/0.json", "notes.txt", "sub/.cache/x.csv", "c.parquet.gz"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [*FILES, *PASSED_OVER]:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ROW)
    return tmp_path / "data"


def names(spec: str | Path, start: str) -> list[str]:
    return [source.uri.removeprefix(start) for source in find_sources(spec)]


def test_a_folder_is_read_with_all_below_it(folder: Path) -> None:
    sources = find_sources(folder)
    assert [source.uri for source in sources] == [f"{folder}/{name}" for name in FILES]
    assert [(source.format, source.compression) for source in sources] == [
        ("jsonl", None),
        ("csv", "gzip"),
        ("parquet", None),
        ("json", None),
        ("tsv", "zstd"),
    ]
    assert names(f"{folder}/", f"{folder}/") == FILES
    assert names(f"file://{folder}", f"file://{folder}/") == FILES


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", FILES[:2]),
        ("*.jsonl", FILES[:1]),
        ("**", FILES),
        ("**/*.parquet", FILES[2:3]),
        ("**/d.JSON", FILES[3:4]),
        ("sub/**/[cd].*", FILES[2:4]),
        ("sub/d??p/*", FILES[3:]),
        ("s*/*", FILES[2:3]),
    ],
)
def test_patterns(folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]) -> None:
    assert names(f"{folder}/{pattern}", f"{folder}/") == found
    monkeypatch.chdir(folder)
    assert names(pattern, "") == found


def test_a_file_is_named_as_it_was_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names("sub/deep/e[1].tsv.zst", "") == ["sub/deep/e[1].tsv.zst"]
    assert names(".", "./") == FILES


def test_the_digest_is_of_the_stored_bytes(folder: Path) -> None:
    (source,) = find_sources(folder / "b.csv.gz")
    assert source.digest() == hashlib.sha256(ROW).hexdigest()


def test_empty_parts_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "part-0.jsonl").write_text("")
    with pytest.raises(InputError, match="no file found that has something in it"):
        find_sources(tmp_path)
    (tmp_path / "part-1.jsonl").write_text('{"input": "a", "expected": "b"}\n')
    assert [Path(source.path).name for source in find_sources(tmp_path)] == ["part-1.jsonl"]


def test_links_in_a_circle_do_not_hang(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    assert names(folder, f"{folder}/") == FILES


KNOWN = r"\.jsonl, \.ndjson, \.json, \.csv, \.tsv, \.parquet, all but the last also with \.gz or \.zst"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("missing.jsonl", "missing.jsonl: no such file or folder"),
        ("notes.txt", f"notes.txt: cannot tell its format; use a file named {KNOWN}"),
        ("c.parquet.gz", "c.parquet.gz: cannot tell its format"),
        ("sub/.cache/*.json", f"no file found that has something in it and whose name ends in {KNOWN}"),
        ("*.txt", "no file found"),
        ("nowhere/**/*.csv", "no file found"),
        ("empty", "no file found"),
        ("", "not the name of a file"),
        ("a\0b", "not the name of a file"),
        ("https://example.org/a.csv", "cannot read from https://; use a local path or s3://"),
        ("/dev/null", "neither a file nor a folder"),
        (os.fsdecode(b"\xff.csv"), "cannot be read"),
    ],
)
def test_what_is_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch, spec: str, complaint: str) -> None:
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=complaint) as caught:
        find_sources(spec)
    assert "\n" not in str(caught.value)


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(ROW)
    (source,) = find_sources(path)
    path.unlink()
    for use in (source.digest, source.open):
        with pytest.raises(InputError, match=r"data\.jsonl: cannot be read \(No such file or directory\)"):
            use()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on an S3 of our own, which the environment points to."""
    server = pytest.importorskip("moto.server", reason="moto, an S3 for tests, is not installed").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        settings.cache_clear()
        client = pytest.importorskip("boto3").client("s3")
        client.create_bucket(Bucket="samples")
        for name in [*FILES, *PASSED_OVER]:
            client.put_object(Bucket="samples", Key=f"data/{name}", Body=ROW)
        yield "s3://samples"
    settings.cache_clear()
    server.stop()


@pytest.mark.service
def test_s3(bucket: str) -> None:
    start = f"{bucket}/data/"
    assert names(f"{bucket}/data", start) == FILES
    assert names(bucket, start) == FILES
    assert names(f"{start}**/*.parquet", start) == FILES[2:3]
    (source,) = find_sources(f"{start}a.jsonl")
    assert source.digest() == hashlib.sha256(ROW).hexdigest()
    table, findings = read_samples(f"{start}a.jsonl")
    assert (table["input"].to_pylist(), findings) == (["a"], [])
    for spec, complaint in (("data/none.csv", "no such file"), ("data/*.txt", "no file found")):
        with pytest.raises(InputError, match=complaint):
            find_sources(f"{bucket}/{spec}")
    with pytest.raises(InputError, match=r"s3://nowhere/a\.csv: (no such file|cannot be read)"):
        find_sources("s3://nowhere/a.csv")
