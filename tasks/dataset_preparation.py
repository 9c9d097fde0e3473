"""Preparing a dataset as a task: read a source, publish a version, leave the report for people."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.data.findings import raise_errors
from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.dropped_rows import DROPPED_SCHEMA
from llmops.data.preparation.prepare import FaultyDataError, Prepared, prepare
from llmops.data.preparation.report import PreparationReport
from llmops.data.reading.readers import read_samples
from llmops.data.samples import ColumnMapping
from llmops.data.versions.manifest import DatasetKind, DatasetVersion
from llmops.errors import InputError
from llmops.llm import LocalModel
from llmops.llm.text_generator import TextGenerator
from llmops.settings import settings
from tasks.base_models import find_model
from tasks.dataset_report import Preparation, publish_dataset_report, report_place
from tasks.datasets import dataset_store
from tasks.progress import stage
from tasks.tracking import code_commit

OnError = Literal["refuse", "drop"]

# An interval needs more than one independent observation.
FEWEST_TEST_GROUPS = 2
# Only under the same of these does a row belong into the split that it had in the version before.
DECIDE_SPLITS = ("columns", "ratios", "seed", "split", "test_source")
MEASURING_KINDS = ("golden", "benchmark")


@dataclass(frozen=True)
class DatasetSource:
    """What a dataset is made of: the parameters of the flow that its rows depend on."""

    source: str
    test_source: str | None
    on_error: OnError
    config: PreparationConfig

    def settings(self) -> dict[str, object]:
        """What a version records as its configuration; the sources stand beside it with their digests."""
        given = {"on_error": self.on_error, "test_source": self.test_source}
        return {**self.config.model_dump(mode="json"), **{name: value for name, value in given.items() if value}}


@dataclass(frozen=True)
class Published:
    """A version, how it came about, and whether it was there already."""

    version: DatasetVersion
    report: PreparationReport
    reused: bool


@task(name="prepare dataset", cache_policy=NO_CACHE)
def publish_dataset(given: DatasetSource, name: str, kind: DatasetKind, run_id: str) -> Published:
    """Prepare a source, publish it as a version, and leave the report beside an MLflow run.

    The same samples under the same settings are the version there is already.

    Raises:
        InputError: the source cannot be prepared; where its rows are at fault the line says where their report is.
    """
    store = dataset_store()
    versions = store.versions(name)
    prepared = _prepare(given, name, versions[-1] if versions else None, run_id)
    with stage("Publish") as line:
        version = store.publish(
            name,
            prepared.samples,
            kind=kind,
            sources=prepared.report.sources,
            config=given.settings(),
            code_commit=code_commit(),
            report=prepared.report.model_dump(mode="json"),
        )
        line.finish(f"{version.uri} · {', '.join(f'{count:,} {split}' for split, count in version.counts.items())}")
    with stage("Report"):
        about = f"{version.kind} · {version.created_at:%Y-%m-%d %H:%M} UTC · digest {version.digest[:16]}"
        found = Preparation(name, version.uri, about, prepared.report, prepared.findings, prepared.dropped)
        publish_dataset_report(run_id, found, prepared.samples)
    return Published(version, prepared.report, reused=version.number in {one.number for one in versions})


def _prepare(given: DatasetSource, name: str, latest: DatasetVersion | None, run_id: str) -> Prepared:
    with stage("Prepare") as line:
        started = time.monotonic()

        def show(rows: int, file: str) -> None:
            rate = rows / max(time.monotonic() - started, 1e-3)
            line.update(rows, None, f"{rows:,} rows, {rate:,.0f} a second, {Path(file).name}")

        line.update(0, None, given.source)
        try:
            prepared = prepare(
                local_path(given.source),
                given.config,
                test_source=None if given.test_source is None else local_path(given.test_source),
                on_error=given.on_error,
                previous=_rows_to_stay(given, latest),
                references=dict(reference_samples(given.config)),
                generators=dict(_generators(given.config)),
                folder=settings().home,
                on_progress=show,
            )
        except FaultyDataError as error:
            empty = DROPPED_SCHEMA.empty_table()
            refused = Preparation(
                name, f"{name}, refused", given.source, error.report, error.findings, empty, str(error)
            )
            publish_dataset_report(run_id, refused)
            raise InputError(f"{error}. The whole report: {report_place(run_id)}") from error
        _require_test_groups(prepared, given.test_source or given.source)
        left = f"{sum(prepared.report.dropped.values()):,} dropped"
        line.finish(f"{prepared.report.read:,} rows read, {left}, quality {prepared.report.quality.mean:.2f}")
    return prepared


def local_path(spec: str) -> str:
    """A source with the home folder for ``~``, which no shell replaces in a form or a configuration file."""
    return str(Path(spec).expanduser()) if spec.startswith("~") else spec


def _rows_to_stay(given: DatasetSource, latest: DatasetVersion | None) -> Iterable[pa.RecordBatch] | None:
    """The samples of the version before, whose splits hold as long as the settings that decide splits do."""
    chosen = given.settings()
    if latest is None or any(latest.config.get(name) != chosen.get(name) for name in DECIDE_SPLITS):
        return None
    return dataset_store().batches(latest)


def reference_samples(config: PreparationConfig) -> Iterator[tuple[str, pa.Table]]:
    """The samples that must not occur among the rows, by what the configuration calls them.

    A published dataset is NAME or NAME@VERSION; all of it counts where it is there to measure, else its test split.
    Anything else is read as a source.
    """
    store = dataset_store()
    for name in config.validation.contamination:
        if name.partition("@")[0] in store.names():
            version = store.resolve(name)
            yield name, store.read(version, None if version.kind in MEASURING_KINDS else "test")
        else:
            yield name, _reference(local_path(name), config.columns)


def _reference(source: str, columns: ColumnMapping) -> pa.Table:
    """The samples of a file that need not have the columns of the source.

    Raises:
        InputError: it cannot be read, or not all of it: what is left unread could not be found among the rows.
    """
    try:
        table, findings = read_samples(source, columns)
    except InputError:
        table, findings = read_samples(source)
    raise_errors(findings)
    return table


def _generators(config: PreparationConfig) -> Iterator[tuple[str, TextGenerator]]:
    """The models that augmentation asks."""
    methods = (config.augmentation.paraphrase, config.augmentation.back_translation)
    for spec in {method.model for method in methods if method.share and method.model}:
        yield spec, LocalModel.load(find_model(spec).path)


def _require_test_groups(prepared: Prepared, source: str) -> None:
    groups: set[str] = set()
    for batch in prepared.samples:
        groups.update(pc.unique(batch.filter(pc.equal(batch.column("split"), "test")).column("group")).to_pylist())
        if len(groups) >= FEWEST_TEST_GROUPS:
            return
    raise InputError(
        f"{source}: all test samples belong to one group, so nothing could be said of a model's error; add samples, "
        "or give the test split a larger share"
    )
