"""The report of a preparation: every figure stands where a person looks for it, and no text breaks the page."""

import json
from functools import cache
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from prefect import flow
from prefect.client.orchestration import get_client
from rich.console import Console

from llmops.data.findings import Finding
from llmops.data.preparation.dropped_rows import DROPPED_SCHEMA
from llmops.data.preparation.report import (
    PreparationReport,
    RuleSummary,
    SourceFile,
    length_summary,
    quality_summary,
)
from tasks.dataset_figures import classes_figure, dataset_figures, dataset_pictures, rows_figure
from tasks.dataset_page import dataset_page
from tasks.dataset_report import Preparation, findings_rows, publish_dataset_report, report_place, summary_markdown
from tasks.dataset_summary import next_commands, report_summary
from tasks.tracking import tracked_run

HOSTILE = "<script>alert(1)</script> | ![x](http://example.com/x.png) & $x_1$ *two*\nlines \x1b[31m"

CONFLICT = RuleSummary(
    rule="label-conflict",
    severity="error",
    rows=2,
    share=0.02,
    advice="keep the right label",
    examples=[
        Finding(
            severity="error", rule="label-conflict", file="a.jsonl", line=7, sample_id="s7", message="two labels: A, B"
        ),
        Finding(severity="error", rule="label-conflict", file="a.jsonl", line=9, message=HOSTILE),
    ],
)
LONG = RuleSummary(
    rule="length-outlier",
    severity="warning",
    rows=30,
    share=0.3,
    advice="look at it",
    examples=[Finding(severity="warning", rule="length-outlier", file="a.jsonl", line=3, message="900 words")],
)
DROPPED = pa.table(
    [
        ["faulty", *["exact repeat"] * 60],
        ["a.jsonl"] * 61,
        [1, *range(30, 90)],
        ["f", *(f"d{line}" for line in range(30, 90))],
        ["broken", *(HOSTILE for _ in range(60))],
        [None, *["a.jsonl"] * 60],
        [None, *[2] * 60],
        [None, *["k"] * 60],
        [None, *[0.875] * 60],
    ],
    schema=DROPPED_SCHEMA,
)
FINDINGS = pa.table(
    {
        "severity": ["error"],
        "rule": ["label-conflict"],
        "file": ["a.jsonl"],
        "line": [7],
        "sample_id": ["s7"],
        "message": ["two labels: A, B"],
    }
)


def report() -> PreparationReport:
    return PreparationReport(
        read=100,
        dropped={"faulty": 1, "exact repeat": 60, "near duplicate": 0},
        augmented={"synonyms": 5},
        rejected={"copy": 2},
        counts={"train": 36, "validation": 4, "test": 4},
        several_references=3,
        sources=[SourceFile(path="a.jsonl", digest="ab" * 32, rows=100)],
        findings=[CONFLICT, LONG],
        quality=quality_summary(np.array([1.0, 0.75, 0.25, 1.0], dtype=np.float32)),
        lengths={"input": length_summary(np.array([3, 4, 5])), "expected": length_summary(np.array([1, 1, 2]))},
        labels={HOSTILE: 20, "cash_$": 24},
        languages={"en": 40, "de": 4},
    )


def preparation(**changed: object) -> Preparation:
    values = {
        "name": "Toy_set",
        "title": "Toy_set@1",
        "about": "user",
        "report": report(),
        "findings": FINDINGS,
        "dropped": DROPPED,
    }
    return Preparation(**(values | changed))  # type: ignore[arg-type]


class Page(HTMLParser):
    """The cells of a page's table rows, the tags that occur, and what the tags load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name == "src"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


@cache
def page(refused: str = "") -> Page:
    made = report()
    return Page(
        dataset_page(
            "Toy@1", "user", made, DROPPED, dataset_pictures(made), {"s7": "my <b>input</b>", "k": "kept → B"}, refused
        )
    )


def test_the_page_has_every_finding_with_its_place_and_text() -> None:
    rows = page().rows
    assert ["error", "label-conflict", "2", "2.0 %", "keep the right label"] in rows
    assert ["warning", "length-outlier", "30", "30.0 %", "look at it"] in rows
    assert ["a.jsonl:7", "two labels: A, B", "my <b>input</b>"] in rows
    assert ["exact repeat", "60", "60.0 %", "says the same as an earlier row"] in rows
    assert ["a.jsonl", "100", "ab" * 32] in rows
    assert ["synonyms", "5"] in rows
    assert ["copy", "2"] in rows


def test_the_page_names_the_first_fifty_dropped_rows_and_for_whom_they_went() -> None:
    pairs = [row for row in page().rows if row[0] == "exact repeat" and len(row) == 6]
    assert len(pairs) == 50
    assert pairs[0] == ["exact repeat", "a.jsonl:30", HOSTILE, "a.jsonl:2", "kept → B", "0.88"]


def test_no_text_of_a_file_becomes_part_of_the_page() -> None:
    shown = page(refused=HOSTILE)
    assert "script" not in shown.tags
    assert "b" in shown.tags  # our own
    assert all(source.startswith("data:image/png;base64,") for source in shown.loaded)
    assert ["a.jsonl:9", HOSTILE, ""] in shown.rows


def test_rows_bars_follow_one_another_from_what_was_read_to_the_splits() -> None:
    [axes] = rows_figure(report()).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    #       read       faulty   repeats   synonyms  train    validation  test
    assert bars == [(0, 100), (99, 1), (39, 60), (39, 5), (0, 36), (36, 4), (40, 4)]


def test_there_is_a_picture_of_everything_there_is_something_to_say_about() -> None:
    assert set(dataset_figures(report())) == {"rows", "findings", "quality", "lengths", "classes", "languages"}
    bare = report().model_copy(update={"findings": [], "lengths": {}, "labels": {}, "languages": {"en": 44}})
    assert set(dataset_figures(bare)) == {"rows", "quality"}


def test_a_class_that_reads_like_a_formula_is_drawn_as_it_is() -> None:
    figure = classes_figure({"cash_$": 2, "a_{$}": 1, "${": 3})
    figure.savefig(StringIO(), format="svg")
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [3, 2, 1]


def test_nothing_read_and_nothing_published_can_be_shown_too() -> None:
    empty = PreparationReport(
        read=0, dropped={}, counts={}, several_references=0, sources=[], quality=quality_summary(np.array([]))
    )
    shown = dataset_page("none", "", empty, DROPPED.slice(0, 0), dataset_pictures(empty), {})
    assert "Nothing was found" in shown
    assert "No row was dropped" in shown
    assert [row["rule"] for row in findings_rows(empty)] == ["none"]
    assert lines(empty, 80)


def lines(shown: PreparationReport, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(report_summary(shown))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_rows_and_findings_worst_first(width: int) -> None:
    shown = lines(report(), width)
    assert all(len(line.rstrip()) <= width for line in shown)
    words = [line.split() for line in shown if line.strip()]
    assert words[0][:2] == ["read", "100"]
    assert words[2][:5] == ["exact", "repeat", "−60", "60.0", "%"]
    assert ["train", "36", "81.8", "%"] in [line[:4] for line in words]
    assert not any("near" in line for line in words)
    at = {line[1]: number for number, line in enumerate(words) if line[0] in ("✗", "!")}
    assert at["label-conflict"] < at["length-outlier"]
    assert "Quality 0.75 on average, below one half: 25.0 % of the samples" in " ".join(shown)


def test_what_to_do_next_is_quoted_for_the_shell() -> None:
    assert next_commands("support@3") == [
        "llmops show dataset support@3",
        "llmops export support@3 --split train --format openai --to support-train.jsonl",
        "llmops run fine-tune --dataset support@3",
    ]


def test_the_summary_has_the_counts_and_no_text_of_a_sample() -> None:
    text = summary_markdown(preparation())
    assert "| read | faulty | exact repeat | made by synonyms | train | validation | test |" in text
    assert "| 100 | −1 | −60 | +5 | 36 | 4 | 4 |" in text
    assert "| error | label-conflict | 2 | 2.0 % | keep the right label |" in text
    assert "script" not in text
    assert "Nothing was published" in summary_markdown(preparation(refused="a.jsonl:1: broken"))


@pytest.mark.service
def test_the_report_stands_beside_the_run_and_in_prefect(home: object, prefect_server: None) -> None:
    batch = pa.record_batch({"id": ["s7", "s8"], "input": ["my <b>input</b>", "x"], "expected": ["A", "y"]})

    @flow
    def publish() -> str:
        with tracked_run("prepare-dataset", experiment="Toy_set") as run:
            publish_dataset_report(run.run_id, preparation(), [batch])
        return run.run_id

    run_id = publish()
    names = {file.path for file in MlflowClient().list_artifacts(run_id)}
    pictures = {"rows.png", "findings.png", "quality.png", "lengths.png", "classes.png", "languages.png"}
    assert names == pictures | {"report.html", "report.json", "findings.parquet", "dropped.parquet"}
    folder = download_artifacts(run_id=run_id)
    assert pq.read_table(f"{folder}/dropped.parquet").equals(DROPPED)
    assert pq.read_table(f"{folder}/findings.parquet").equals(FINDINGS)
    shown = Page(Path(report_place(run_id)).read_text(encoding="utf-8"))
    assert ["a.jsonl:7", "two labels: A, B", "my <b>input</b> → A"] in shown.rows
    with get_client(sync_client=True) as client:
        kept = {artifact.key: artifact for artifact in client.read_latest_artifacts()}
    assert {"dataset-toy-set", "dataset-toy-set-summary"} <= set(kept)
    [first, *_] = json.loads(str(kept["dataset-toy-set"].data))
    assert first == {
        "severity": "error",
        "rule": "label-conflict",
        "rows": 2,
        "share": "2.0 %",
        "first at": "a.jsonl:7",
        "what to do": "keep the right label",
    }
    assert run_id in str(kept["dataset-toy-set"].description)
