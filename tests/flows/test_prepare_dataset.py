"""`prepare-dataset` on real parts: what it publishes, what it leaves for people to look at, what it refuses."""

import json
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from rich.console import Console

from flows.flow_options import FlowCommand
from flows.flow_parameters import parameter_values
from flows.prepare_dataset import prepare_dataset
from llmops.data import PreparationConfig
from llmops.errors import InputError
from tasks.datasets import dataset_store
from tasks.results import DatasetResult

pytestmark = pytest.mark.service
GUIDE = Path(__file__).parents[2] / "docs" / "datasets.md"

PROJECT = Path(__file__).parents[2]
THIRDS = PreparationConfig(ratios=(0.4, 0.3, 0.3))

ROWS = [
    {"input": f"How do I cook {dish} for {guests} guests?", "expected": f"Take {guests} portions of {dish}."}
    for dish in ("rice", "barley", "lentils", "noodles", "millet", "maize", "quinoa", "beans", "peas", "oats")
    for guests in ("two", "three", "four", "five", "six", "seven")
]


def written(file: Path, rows: list[dict[str, str]], broken: str = "") -> Path:
    """A JSONL file, with a broken line in the middle if wanted."""
    lines = [json.dumps(row) for row in rows]
    if broken:
        lines.insert(10, broken)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def printed(result: DatasetResult, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(result)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_prepared_dataset_leaves_a_version_a_run_and_a_report(
    home: Path, prefect_server: None, tmp_path: Path
) -> None:
    source = written(tmp_path / "dishes.jsonl", [*ROWS, ROWS[0]])
    result = prepare_dataset(str(source), "dishes", "golden", preparation=THIRDS)

    assert (result.dataset, result.version.kind, result.reused) == ("dishes@1", "golden", False)
    assert result.report.read == 61
    assert result.report.dropped["exact repeat"] == 1
    assert sum(result.version.counts.values()) == 61 - sum(result.report.dropped.values())
    assert dataset_store().resolve("dishes").report == result.report.model_dump(mode="json")
    assert "report" not in json.loads(result.model_dump_json())["version"]  # once is enough
    leaves_a_run(result, source)
    is_shown(result)

    again = prepare_dataset(str(source), "dishes", "golden", preparation=THIRDS)
    assert (again.dataset, again.reused) == ("dishes@1", True)
    assert "nothing new was published" in printed(again)


def leaves_a_run(result: DatasetResult, source: Path) -> None:
    client = MlflowClient()
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["source"] == str(source)
    assert run.data.params["on_error"] == "refuse"
    assert run.data.metrics["rows.train"] == result.version.counts["train"]
    assert run.data.metrics["dropped.exact_repeat"] == 1
    assert run.data.metrics["quality.mean"] == pytest.approx(result.report.quality.mean)
    assert run.data.tags["dataset.kind"] == "golden"
    assert run.inputs.dataset_inputs[0].dataset.name == "dishes@1"
    folder = Path(download_artifacts(run_id=result.run_id))
    assert "<h1>dishes@1</h1>" in (folder / "report.html").read_text(encoding="utf-8")
    [dropped] = pq.read_table(folder / "dropped.parquet").to_pylist()
    assert (dropped["reason"], dropped["line"], dropped["kept_line"]) == ("exact repeat", 61, 1)
    assert Path(result.report_at).is_file()


def is_shown(result: DatasetResult) -> None:
    shown = printed(result)
    assert "exact repeat" in shown
    assert "llmops export dishes@1 --split train --format openai --to dishes-train.jsonl" in shown
    content = json.loads(llmops("show", "dataset", "dishes@1", "--json"))
    assert content["counts"] == result.version.counts
    assert content["report"]["dropped"]["exact repeat"] == 1
    assert [one["version"] for one in content["versions"]] == [1]
    text = llmops("show", "dataset", "dishes")
    assert "Dataset dishes@1" in text
    assert "exact repeat" in text
    assert result.version.digest in text
    assert "ratios" in text.partition("settings other than the defaults")[2].partition("sources")[0]


def llmops(*arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout


def test_a_faulty_row_refuses_all_and_leaves_its_report(home: Path, prefect_server: None, tmp_path: Path) -> None:
    source = written(tmp_path / "dishes.jsonl", ROWS, broken='{"input": "half a')
    with pytest.raises(InputError, match=r"dishes\.jsonl:11: ") as caught:
        prepare_dataset(str(source), "dishes")
    assert "\n" not in str(caught.value)
    assert dataset_store().names() == []
    client = MlflowClient()
    [experiment] = [one for one in client.search_experiments() if one.name == "dishes"]
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    place = Path(str(caught.value).rpartition(": ")[2])
    assert "Nothing was published" in place.read_text(encoding="utf-8")
    found = pq.read_table(download_artifacts(run_id=run.info.run_id, artifact_path="findings.parquet")).to_pylist()
    assert [(one["severity"], one["line"]) for one in found if one["severity"] == "error"] == [("error", 11)]


def test_on_error_drop_publishes_the_good_rows_and_says_how_many_were_dropped(
    home: Path, prefect_server: None, tmp_path: Path
) -> None:
    source = written(tmp_path / "dishes.jsonl", ROWS, broken='{"input": "half a')
    result = prepare_dataset(str(source), "dishes", on_error="drop")
    assert result.report.read == 61
    assert result.report.dropped["faulty"] == 1
    published = dataset_store().resolve("dishes")
    assert published.report is not None
    assert published.report["dropped"]["faulty"] == 1
    assert published.config["on_error"] == "drop"


def test_sources_are_files_folders_and_globs_by_any_spelling(
    home: Path, prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "data" / "one.jsonl", ROWS[:30])
    written(tmp_path / "data" / "two.jsonl", ROWS[30:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    digests = {
        prepare_dataset(spec, f"dishes-{number}", preparation=THIRDS).version.digest
        for number, spec in enumerate(("data", "data/*.jsonl", "~/data"))
    }
    assert len(digests) == 1


def shown_commands() -> list[str]:
    return re.findall(r"^llmops run prepare-dataset (.*)$", GUIDE.read_text(), re.M)


def test_every_preparation_that_the_guide_shows_works(
    home: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    parameters = dict(prepare_dataset.parameters)
    command = FlowCommand("prepare-dataset", parameters, "", [])
    results = []
    for line in shown_commands():
        with command.make_context("prepare-dataset", shlex.split(line)) as context:
            values = parameter_values(prepare_dataset.fn, parameters, command.typed_values(context), None)
        results.append(prepare_dataset(**values))
    names = [result.version.name for result in results]
    assert names == ["support", "support", "support-clean", "support-more"]
    # What the guide says that these find and make.
    found = {one.rule: one.rows for one in results[2].report.findings}
    assert found["test-contamination"] == results[0].version.counts["test"] == 69
    assert results[3].report.augmented["insertion"] > 0
