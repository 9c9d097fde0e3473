"""Published datasets: where they are, and what a training or an evaluation needs of one."""

from dataclasses import dataclass

from llmops.data import DatasetStore, DatasetVersion
from llmops.errors import InputError
from llmops.evaluation.questions import Questions, distinct_questions
from llmops.settings import settings


def dataset_store() -> DatasetStore:
    """The store of this home."""
    return DatasetStore(settings().home / "datasets")


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


def questions_of(version: DatasetVersion, split: str) -> Questions:
    """The distinct questions of a split with all their references.

    Raises:
        InputError: the split is empty.
    """
    questions = distinct_questions(dataset_store().read(version, split=split))
    if not len(questions):
        raise InputError(f"{version.uri} has no samples in its {split} split")
    return questions
