"""Versions: what was published stays as it was, and every later run names the version it used.

=================  =========================================================================
``store``          `DatasetStore`: publish, resolve and read, on Delta Lake
``row_files``      its Parquet files, written part by part; ``row_ranges`` reads them in order
``manifest``       what a version records about itself
``digest``         what names its content, whatever the order of rows and the format of files
``changes``        the difference between two versions; ``changes_table`` for people
``edits``          samples added to a version and retired from it, put in place by
``placement``      which split an added sample belongs to
=================  =========================================================================
"""

from llmops.data.versions.changes import VersionDifference, difference
from llmops.data.versions.edits import edit_samples
from llmops.data.versions.manifest import DatasetKind, DatasetVersion, EditRecord
from llmops.data.versions.store import DatasetStore, StoredSamples

__all__ = [
    "DatasetKind",
    "DatasetStore",
    "DatasetVersion",
    "EditRecord",
    "StoredSamples",
    "VersionDifference",
    "difference",
    "edit_samples",
]
