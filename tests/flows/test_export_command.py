"""`llmops export` as a person and a script meet it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from llmops.data import DatasetStore
from llmops.data.exports.writers import FORMATS
from llmops.data.reading.readers import read_samples
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.settings import settings

COUNTS = {"train": 40, "validation": 3, "test": 2}


def samples(counts: dict[str, int], chat: bool = False) -> pa.Table:
    splits = [split for split, count in counts.items() for _ in range(count)]
    inputs = [f"When does {split} {number} open?" for number, split in enumerate(splits)]
    talk = [
        '{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}'
        if chat
        else None
        for _ in splits
    ]
    table = sample_table(
        input=pa.chunked_array([inputs]),
        expected=pa.chunked_array([["At nine."] * len(splits)]),
        messages=pa.chunked_array([pa.array(talk, pa.string())]),
        metadata={"source": pa.chunked_array([["s"] * len(splits)])},
    )
    return table.set_column(SAMPLE_SCHEMA.get_field_index("split"), "split", pa.array(splits, pa.string()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the dataset `opening` (45 samples) and `talks` (40 conversations)."""
    monkeypatch.setenv("LLMOPS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    store = DatasetStore(tmp_path / "home" / "datasets")
    store.publish("opening", samples(COUNTS))
    store.publish("few", samples({"train": 2, "test": 3}))
    store.publish("talks", samples({"train": 40}, chat=True))
    return tmp_path


@pytest.fixture(autouse=True)
def _settings_of_this_test() -> object:
    before = signal.getsignal(signal.SIGTERM)
    yield
    settings.cache_clear()
    signal.signal(signal.SIGTERM, before)


Outputs = Callable[..., tuple[int, str, str]]


@pytest.fixture
def export(home: Path, capfd: pytest.CaptureFixture[str]) -> Outputs:
    """Run the command and give its status and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["export", *arguments])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_every_format_gives_back_what_the_version_holds(export: Outputs, home: Path) -> None:
    held = samples(COUNTS)
    for format in FORMATS:
        suffix = format if format in ("json", "csv", "tsv", "parquet") else "jsonl"
        # Bedrock's prompt and completion want a hundred samples to train on.
        split = "validation" if format == "bedrock" else "all"
        file = home / f"{format}.{suffix}"
        status, out, err = export("opening", "--format", format, "--split", split, "--to", str(file))
        assert (status, err) == (0, ""), err
        rows = 3 if format == "bedrock" else 45
        assert out.startswith(f"Wrote {rows} samples of opening@1 ({split}) as {format} to {file}: about ")
        read, findings = read_samples(file)
        wanted = held.filter(pa.compute.equal(held["split"], "validation")) if format == "bedrock" else held
        assert findings == []
        assert read["input"].to_pylist() == wanted["input"].to_pylist()
        assert read["expected"].to_pylist() == wanted["expected"].to_pylist()
    assert pq.read_table(home / "parquet.parquet").equals(held)


def test_json_is_one_object(export: Outputs, home: Path) -> None:
    file = home / "o.jsonl.gz"
    status, out, err = export("opening@1", "--format", "openai", "--to", str(file), "--json")
    assert (status, err) == (0, "")
    # The question, a line end and 8 bytes of answer, at four bytes a token: 8 for ten of them, 9 for thirty.
    tokens = 10 * 8 + 30 * 9
    version = DatasetStore(home / "home" / "datasets").resolve("opening")
    assert json.loads(out) == {
        "dataset": "opening@1", "digest": version.digest, "split": "train", "format": "openai", "file": str(file),
        "rows": 40, "tokens": tokens, "tokens_estimated": True, "bytes": file.stat().st_size, "warnings": [],
    }  # fmt: skip


def test_a_file_is_replaced_only_when_told_so(export: Outputs, home: Path) -> None:
    file = home / "o.jsonl"
    file.write_text("mine")
    status, out, err = export("opening", "--format", "openai", "--to", str(file))
    assert (status, out) == (2, "")
    assert err == f"Error: {file}: exists already; name another file, or replace it with --force\n"
    assert file.read_text() == "mine"
    assert export("opening", "--format", "openai", "--to", str(file), "--force")[0] == 0
    assert len(file.read_text().splitlines()) == 40


def test_what_the_provider_would_refuse_is_refused_in_one_line(export: Outputs, home: Path) -> None:
    file = home / "b.jsonl"
    status, out, err = export("talks", "--format", "bedrock", "--to", str(file))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: talks@1 (train) cannot be exported as bedrock: sample ")
    assert err.count("sample ") == 5
    # Forty conversations that it does not carry and one dataset that is too small are 41 findings.
    assert err.endswith("; and 36 more\n")
    assert not file.exists()
    status, _, err = export("few", "--format", "openai", "--to", str(file))
    assert err == (
        "Error: few@1 (train) cannot be exported as openai: 2 samples where at least 10 are needed; add some\n"
    )
    # The minimum is one of training files.
    assert export("few", "--format", "openai", "--split", "test", "--to", str(file))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing", "--format", "csv", "--to", "x.csv"], "no dataset 'nothing'"),
        (["opening@7", "--format", "csv", "--to", "x.csv"], "has no version '7'"),
        (["opening", "--format", "xml", "--to", "x.xml"], "no format 'xml'; there are: jsonl, json"),
        (["opening", "--format", "csv", "--to", "x.jsonl"], "a file in format csv is named *.csv"),
        (["opening", "--format", "csv", "--to", "nowhere/x.csv"], "there is no folder nowhere; create it first"),
        (["opening", "--format", "csv", "--to", "x.csv", "--split", "dev"], "'dev' is not one of"),
        (["talks", "--format", "csv", "--to", "x.csv", "--split", "test"], "holds train 40"),
        (["opening", "--format", "openai", "--to", "x.jsonl", "--tokenizer", "none"], "none: no tokenizer"),
        (["opening", "--format", "openai", "--to", "x.jsonl", "--config", "none.yaml"], "--config none.yaml: No such"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    arguments: list[str], complaint: str, export: Outputs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    status, out, err = export(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert complaint in err
    assert [path.name for path in home.iterdir()] == ["home"]


def test_limits_from_a_file(export: Outputs, home: Path) -> None:
    config = home / "c.yaml"
    to = ["--to", str(home / "o.jsonl"), "--config", str(config), "--force"]
    config.write_text("export:\n  limits:\n    openai: {minimum_count: 41}\n    bedrock: {minimum_count: 40}\n")
    assert "40 samples where at least 41 are needed" in export("opening", "--format", "openai", *to)[2]
    assert export("opening", "--format", "bedrock", *to)[0] == 0
    config.write_text("export:\n  limits:\n    openai: {maximum_bytes: 100}\n")
    assert "larger than the 100 bytes" in export("opening", "--format", "openai", *to)[2]
    for content, complaint in (
        ("limits:\n    openai: {minimum: 41}", "export.limits.openai.minimum: Extra inputs are not permitted"),
        ("limits:\n    openai: {minimum_count: many}", "export.limits.openai.minimum_count: Input should be"),
        ("limits:\n    openai: 3", "export.limits.openai: Input should be a valid dictionary"),
        ("limits:\n    csv: {}", "export.limits.csv: no format of a provider"),
        ("limit: {}", "export.limit: Extra inputs"),
    ):
        config.write_text(f"export:\n  {content}\n")
        status, _, err = export("opening", "--format", "openai", *to)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{config}: {complaint}" in err


def test_the_projects_own_limits_are_read(export: Outputs, home: Path) -> None:
    config = Path(__file__).parents[2] / "configs" / "export.yaml"
    # Titan takes fewer samples than Llama.
    done = export("opening", "--format", "bedrock", "--to", str(home / "t.jsonl"), "--config", str(config))
    assert (done[0], done[2]) == (0, "")


def test_warnings_are_said_and_counted(export: Outputs, home: Path) -> None:
    config = home / "c.yaml"
    config.write_text("export:\n  limits:\n    openai: {maximum_tokens: 8}\n")
    options = ["--format", "openai", "--config", str(config)]
    status, out, err = export("opening", *options, "--to", str(home / "o.jsonl"))
    assert status == 0
    # Thirty of the forty have a number of two digits, and so 9 tokens.
    assert err.count("Warning: sample ") == 5
    assert "about 9 tokens where 8 are allowed, the provider cuts its end off; shorten it" in err
    assert "… and 25 more warnings" in err
    assert out.startswith("Wrote 40 samples")
    status, out, _ = export("opening", *options, "--to", str(home / "p.jsonl"), "--json")
    assert len(json.loads(out)["warnings"]) == 30


def test_help_names_every_format_and_loads_nothing_heavy(home: Path) -> None:
    code = (
        "import sys; from flows.cli import main; status = main(sys.argv[1:]);"
        "loaded = {'prefect', 'mlflow', 'torch', 'transformers'} & set(sys.modules); sys.exit(status or bool(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code, "export", "--help"], capture_output=True, text=True, check=True)
    assert all(format in done.stdout for format in FORMATS)
    assert "Examples" in done.stdout
    arguments = ["export", "opening", "--format", "openai", "--to", str(home / "o.jsonl")]
    subprocess.run([sys.executable, "-c", code, *arguments], env=os.environ, check=True)


def test_an_export_that_is_ended_leaves_nothing(home: Path) -> None:
    store = DatasetStore(home / "home" / "datasets")
    store.publish("large", samples({"train": 150_000}))
    folder = home / "out"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "export",
        "large",
        "--format",
        "jsonl",
        "--to",
        str(folder / "x.jsonl"),
    ]
    started = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not any(folder.iterdir()) and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    started.terminate()
    status = started.wait(60)
    if status == 0:
        pytest.skip("the export was done before it could be ended")
    assert status == 143
    assert list(folder.iterdir()) == []
