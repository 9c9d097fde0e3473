"""Published datasets: where they are, and what a training or an evaluation needs of one."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from llmops.data import DatasetStore, DatasetVersion
from llmops.data.conversations import prompt_of
from llmops.data.findings import raise_errors
from llmops.data.preparation.report import SourceFile
from llmops.data.reading.readers import read_samples
from llmops.data.reading.sources import find_sources
from llmops.data.samples import SAMPLE_SCHEMA
from llmops.errors import InputError
from llmops.evaluation.questions import Questions, distinct_questions
from llmops.llm.completions import Prompt, texts_of
from llmops.settings import settings

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst")


def dataset_store() -> DatasetStore:
    """The store of this home."""
    return DatasetStore(settings().home / "datasets")


@dataclass(frozen=True)
class TrainingPairs:
    """(prompt, expected) pairs of the two splits that a training sees."""

    train: list[tuple[Prompt, str]]
    validation: list[tuple[Prompt, str]]

    @property
    def texts(self) -> list[str]:
        """Every training text, for a tokenizer of the dataset's own."""
        return [text for prompt, expected in self.train for text in (*texts_of(prompt), expected)]


def find_dataset(spec: str) -> DatasetVersion:
    """The version that a name stands for; of a file, a version in which all rows are the test split.

    Args:
        spec: name, name@version, or the path of a file.

    Raises:
        InputError: there is no such dataset, or a row of the file cannot be read.
    """
    path = Path(spec).expanduser()
    if not path.exists():
        if path.suffix.lower() in DATA_SUFFIXES or len(path.parts) > 1:
            raise InputError(f"there is no file {spec}; a dataset is named NAME, NAME@3, or by the path of a file")
        return dataset_store().resolve(spec)
    samples, findings = read_samples(path)
    raise_errors(findings)
    split = SAMPLE_SCHEMA.get_field_index("split")
    samples = samples.select(SAMPLE_SCHEMA.names)
    samples = samples.set_column(split, SAMPLE_SCHEMA.field(split), pa.repeat(pa.scalar("test"), len(samples)))
    samples = samples.take(pa.array(sorted(np.unique(samples["id"].to_numpy(), return_index=True)[1])))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.partition(".")[0]).strip("-") or "file"
    digests = [SourceFile(path=one.uri, digest=one.digest(), rows=len(samples)) for one in find_sources(path)]
    return dataset_store().publish(name, samples, kind="benchmark", sources=digests)


def training_pairs(version: DatasetVersion) -> TrainingPairs:
    """The pairs of a version's training and validation split."""
    store = dataset_store()
    splits = {}
    for split in ("train", "validation"):
        table = store.read(version, split=split).sort_by("id").select(["input", "expected", "context", "messages"])
        splits[split] = [(prompt_of(row), row["expected"]) for row in table.to_pylist()]
    return TrainingPairs(splits["train"], splits["validation"])


def questions_of(version: DatasetVersion, split: str) -> Questions:
    """The distinct questions of a split with all their references.

    Raises:
        InputError: the split is empty.
    """
    questions = distinct_questions(dataset_store().read(version, split=None if split == "all" else split))
    if not len(questions):
        raise InputError(f"{version.uri} has no samples in its {split} split; evaluation.split names another")
    return questions
