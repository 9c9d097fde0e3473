"""Datasets as tasks: prepare a source and publish a version, load what a training or an evaluation needs."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from llmops.data import DatasetStore, DatasetVersion, PreparationConfig, PreparationReport, prepare
from llmops.errors import InputError
from llmops.evaluation.held_out import HeldOut, held_out
from llmops.settings import settings
from tasks.progress import stage
from tasks.tracking import code_commit

# An interval needs more than one independent observation.
FEWEST_TEST_GROUPS = 2


def dataset_store() -> DatasetStore:
    """The store of this home."""
    return DatasetStore(settings().home / "datasets")


@task(name="prepare dataset", cache_policy=NO_CACHE)
def publish_dataset(
    source: Path, name: str, kind: str, config: PreparationConfig, test_source: Path | None
) -> tuple[DatasetVersion, PreparationReport]:
    """Read, validate, de-duplicate and split a source, and publish it as a version.

    The same content under the same configuration is the version there is already.
    """
    with stage("Dataset") as line:
        line.update(0, 2, f"reading {source.name}")
        prepared = prepare(source, config, test_source)
        groups = prepared.table.filter(pc.equal(prepared.table["split"], "test"))["group"]
        if pc.count_distinct(groups).as_py() < FEWEST_TEST_GROUPS:
            raise InputError(
                f"{test_source or source}: all test samples belong to one group, so nothing could be said of a model's "
                "error; add samples, or give the test split a larger share"
            )
        line.update(1, 2, "publishing")
        version = dataset_store().publish(
            name,
            prepared.table,
            kind=kind,
            sources=prepared.report.sources,
            config=config.model_dump(mode="json"),
            code_commit=code_commit(),
        )
        counts = ", ".join(f"{count:,} {split}" for split, count in version.counts.items())
        line.finish(f"{version.uri} · {counts}")
    return version, prepared.report


@dataclass(frozen=True)
class TrainingPairs:
    """(input, expected) pairs of the two splits that a training sees."""

    train: list[tuple[str, str]]
    validation: list[tuple[str, str]]

    @property
    def texts(self) -> list[str]:
        """Every training text, for a tokenizer of the dataset's own."""
        return [text for pair in self.train for text in pair]


def training_pairs(version: DatasetVersion) -> TrainingPairs:
    """The pairs of a version's training and validation split."""
    store = dataset_store()
    splits = {}
    for split in ("train", "validation"):
        table = store.read(version, split=split).select(["input", "expected", "id"]).sort_by("id")
        splits[split] = list(zip(table["input"].to_pylist(), table["expected"].to_pylist(), strict=True))
    return TrainingPairs(splits["train"], splits["validation"])


def held_out_inputs(version: DatasetVersion, split: str) -> HeldOut:
    """The distinct inputs of a split with all their references.

    Raises:
        InputError: the split is empty.
    """
    held = held_out(dataset_store().read(version, split=split))
    if not held.inputs:
        raise InputError(f"{version.uri} has no samples in its {split} split")
    return held
