"""Samples: from the files a team has to versions that every later run is pinned to.

`prepare` does all of it in a row, and `DatasetStore` keeps what comes out.
"""

from llmops.data.augmentation import AugmentationConfig
from llmops.data.findings import Finding
from llmops.data.near_duplicates import DuplicateConfig
from llmops.data.preparation import FaultyDataError, Prepared, prepare
from llmops.data.preparation_config import PreparationConfig
from llmops.data.preparation_report import PreparationReport, SourceFile
from llmops.data.readers import read_samples
from llmops.data.samples import SAMPLE_SCHEMA, SPLITS, ColumnMapping
from llmops.data.splits import SplitConfig
from llmops.data.validation import ValidationConfig
from llmops.data.version_manifest import DatasetKind, DatasetVersion
from llmops.data.versions import DatasetStore

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
