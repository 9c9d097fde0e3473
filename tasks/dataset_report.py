"""The report of a preparation, for people: a page, pictures and tables beside the MLflow run, artifacts in Prefect."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow import MlflowClient
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from llmops.data.preparation.report import PreparationReport, RuleSummary
from llmops.settings import settings
from tasks.dataset_figures import dataset_pictures
from tasks.dataset_page import dataset_page, shown_pairs
from tasks.dataset_summary import percent
from tasks.report import artifact_key, markdown_table, png_uri, run_link

# Prefect keeps artifacts in its database: these pictures say most, the page has them all.
IN_PREFECT = ("rows", "findings")


@dataclass(frozen=True)
class Preparation:
    """What there is to report about one preparation.

    Attributes:
        name: of the dataset.
        title: what it came to, ``support@3`` or ``support, refused``.
        about: one line on it.
        report: what became of the rows.
        findings: every finding.
        dropped: every row left out.
        refused: why nothing was published, where that is so.
    """

    name: str
    title: str
    about: str
    report: PreparationReport
    findings: pa.Table
    dropped: pa.Table
    refused: str = ""


def publish_dataset_report(run_id: str, preparation: Preparation, samples: Iterable[pa.RecordBatch] = ()) -> None:
    """Leave the report beside an MLflow run (page, pictures, both tables) and as two Prefect artifacts.

    In Prefect ``dataset-NAME`` is the table of the findings by rule and ``dataset-NAME-summary`` the text; both keep
    their history over the versions of a name.

    Args:
        run_id: MLflow run of the preparation.
        preparation: what there is to report.
        samples: what was published, gone through once for the texts that examples name.
    """
    client = MlflowClient()
    report = preparation.report
    pictures = dataset_pictures(report)
    with tempfile.TemporaryDirectory() as folder:
        texts = _texts(preparation, samples)
        page = dataset_page(
            preparation.title,
            f"{escape(preparation.about)} · MLflow run <code>{run_id}</code>",
            report,
            preparation.dropped,
            pictures,
            texts,
            preparation.refused,
        )
        # What a person's file holds may be half of a surrogate pair, which no encoding takes.
        (Path(folder) / "report.html").write_bytes(page.encode("utf-8", "replace"))
        (Path(folder) / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
        for name, picture in pictures.items():
            (Path(folder) / f"{name}.png").write_bytes(picture)
        pq.write_table(preparation.findings, Path(folder) / "findings.parquet", compression="zstd")
        pq.write_table(preparation.dropped, Path(folder) / "dropped.parquet", compression="zstd")
        client.log_artifacts(run_id, folder)

    key = f"dataset-{artifact_key(preparation.name)}"
    link = f"MLflow run {run_link(run_id)}"
    create_table_artifact(
        findings_rows(report), key=key, description=f"**{preparation.title}**: findings by rule. {link}"
    )
    shown = [f"![{name}]({png_uri(pictures[name])})" for name in IN_PREFECT if name in pictures]
    text = "\n\n".join([summary_markdown(preparation), *shown, f"The whole report is `report.html` of {link}."])
    create_markdown_artifact(text, key=f"{key}-summary", description=f"**{preparation.title}**: {preparation.about}")


def report_place(run_id: str) -> str:
    """Where a person finds a run's report: the file, or the run's page on a server."""
    server = settings().tracking_uri
    run = MlflowClient().get_run(run_id).info
    if server.startswith("http"):
        return f"{server.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run_id}/artifacts"
    page = Path(str(run.artifact_uri).removeprefix("file://")) / "report.html"
    here = Path.cwd()
    return str(page.relative_to(here) if page.is_relative_to(here) else page)


def preparation_metrics(report: PreparationReport) -> dict[str, float]:
    """The figures of a report as MLflow metrics, comparable between the versions of a dataset."""
    return {
        "rows.read": report.read,
        **{f"rows.{split}": count for split, count in report.counts.items()},
        **{f"dropped.{reason.replace(' ', '_')}": count for reason, count in report.dropped.items()},
        **{f"augmented.{method}": count for method, count in report.augmented.items()},
        **{f"findings.{one.rule}": one.rows for one in report.findings},
        "quality.mean": report.quality.mean,
        "quality.below_half": report.quality.below_half,
    }


def summary_markdown(preparation: Preparation) -> str:
    """The report in a few tables, as markdown without any text of the samples."""
    report = preparation.report
    parts = [f"# {preparation.title}", preparation.about]
    if preparation.refused:
        parts.append("**Nothing was published**: the errors below have to be corrected, or their rows dropped.")
    dropped = {reason: f"−{count:,}" for reason, count in report.dropped.items() if count}
    made = {f"made by {method}": f"+{count:,}" for method, count in report.augmented.items()}
    splits = {split: f"{count:,}" for split, count in report.counts.items()}
    rows = {"read": f"{report.read:,}"} | dropped | made | splits
    parts.append(markdown_table(list(rows), [list(rows.values())]))
    parts.append(
        f"Quality {report.quality.mean:.3f} on average, {percent(report.quality.below_half)} of the samples below one "
        f"half; {report.several_references:,} inputs with several references."
    )
    if report.findings:
        found = [[one.severity, one.rule, f"{one.rows:,}", percent(one.share), one.advice] for one in report.findings]
        parts.append(markdown_table(["severity", "rule", "rows", "share", "what to do"], found))
    sources = [[f"`{source.path}`", f"{source.rows:,}", f"`{source.digest[:16]}`"] for source in report.sources]
    parts.append(markdown_table(["source", "rows", "SHA-256"], sources))
    return "\n\n".join(parts)


def findings_rows(report: PreparationReport) -> list[dict[str, str | int]]:
    """The findings by rule as rows of Prefect's table, each with the first place it was seen at."""
    rows: list[dict[str, str | int]] = [
        {
            "severity": one.severity,
            "rule": one.rule,
            "rows": one.rows,
            "share": percent(one.share),
            "first at": _first_place(one),
            "what to do": one.advice,
        }
        for one in report.findings
    ]
    # A table without rows shows nothing at all, not even that there is nothing.
    return rows or [
        {"severity": "", "rule": "none", "rows": 0, "share": percent(0), "first at": "", "what to do": "nothing"}
    ]


def _first_place(rule: RuleSummary) -> str:
    """File and line without the folders, for which the table has no room."""
    if not rule.examples:
        return ""
    first = rule.examples[0]
    name = first.file.rpartition("/")[2]
    return name if first.line is None else f"{name}:{first.line}"


def _texts(preparation: Preparation, samples: Iterable[pa.RecordBatch]) -> dict[str, str]:
    """The texts that the page shows, by the id of their sample: input and expected."""
    dropped = preparation.dropped
    named = {one.sample_id for rule in preparation.report.findings for one in rule.examples if one.sample_id}
    named |= set(shown_pairs(dropped)["kept_id"].to_pylist())
    if not named:
        return {}
    wanted = pa.array(sorted(named), pa.string())
    found = dropped.filter(pc.is_in(dropped["id"], wanted))
    texts: dict[str, str] = dict(zip(found["id"].to_pylist(), found["input"].to_pylist(), strict=True))
    for batch in samples:
        if len(texts) == len(named):
            break
        rows = batch.filter(pc.is_in(batch.column("id"), wanted))
        for row in rows.select(["id", "input", "expected"]).to_pylist():
            texts[row["id"]] = f"{row['input']} → {row['expected']}"
    return texts
