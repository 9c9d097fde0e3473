"""Samples: from the files a team has to versions that every later run is pinned to.

=================  =========================================================================
``samples``        the sample as columns (`SAMPLE_SCHEMA`); ``conversations`` as its messages
``findings``       what is wrong with a row, where, and what to do
``reading``        JSONL, JSON, CSV, TSV, Parquet, here or on s3://, in any usual shape
``validation``     the rules
``duplicates``     exact repeats and near duplicates
``splits``         train, validation and test without leaks
``augmentation``   more training samples from those there are
``preparation``    all of these in a row: `prepare`
``versions``       `DatasetStore`: immutable published versions, their differences and edits
``exports``        files in every provider's fine-tuning format
``token_counts``   tokens of texts, counted or estimated
=================  =========================================================================
"""

from llmops.data.augmentation import AugmentationConfig
from llmops.data.duplicates import DuplicateConfig
from llmops.data.findings import Finding
from llmops.data.preparation import (
    FaultyDataError,
    PreparationConfig,
    PreparationReport,
    Prepared,
    SourceFile,
    prepare,
)
from llmops.data.reading import read_samples
from llmops.data.samples import SAMPLE_SCHEMA, SPLITS, ColumnMapping
from llmops.data.splits import SplitConfig
from llmops.data.validation import ValidationConfig
from llmops.data.versions import DatasetKind, DatasetStore, DatasetVersion

__all__ = [
    "SAMPLE_SCHEMA",
    "SPLITS",
    "AugmentationConfig",
    "ColumnMapping",
    "DatasetKind",
    "DatasetStore",
    "DatasetVersion",
    "DuplicateConfig",
    "FaultyDataError",
    "Finding",
    "PreparationConfig",
    "PreparationReport",
    "Prepared",
    "SourceFile",
    "SplitConfig",
    "ValidationConfig",
    "prepare",
    "read_samples",
]
