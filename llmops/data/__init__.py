"""Samples: from the files a team has to versions that every later run is pinned to.

=================  ==========================================================================
``samples``        the sample as columns (`SAMPLE_SCHEMA`) and the mapping of a file's columns
``readers``        JSONL, CSV, Parquet; ``columns`` turns what they read into samples
``validation``     findings: rule, file, line, what is wrong
``deduplication``  exact repeats
``splits``         train, validation and test by hash of the group
``preparation``    all of it in a row: `prepare`
``versions``       `DatasetStore`: immutable published versions on Delta Lake
=================  ==========================================================================
"""

from llmops.data.deduplication import drop_exact_repeats
from llmops.data.findings import Finding
from llmops.data.preparation import PreparationConfig, PreparationReport, Prepared, SourceFile, prepare
from llmops.data.readers import read_source
from llmops.data.samples import SAMPLE_SCHEMA, SPLITS, ColumnMapping
from llmops.data.splits import assign_splits
from llmops.data.validation import validate
from llmops.data.versions import DatasetKind, DatasetStore, DatasetVersion

__all__ = [
    "SAMPLE_SCHEMA",
    "SPLITS",
    "ColumnMapping",
    "DatasetKind",
    "DatasetStore",
    "DatasetVersion",
    "Finding",
    "PreparationConfig",
    "PreparationReport",
    "Prepared",
    "SourceFile",
    "assign_splits",
    "drop_exact_repeats",
    "prepare",
    "read_source",
    "validate",
]
