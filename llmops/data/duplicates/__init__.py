"""Duplicates: rows that say the same, exactly or nearly.

===================  =======================================================================
``deduplication``    keys of rows, exact repeats, and which of several rows is kept
``near_duplicates``  similar texts by MinHash and bands, verified by exact Jaccard index
``shingles``         texts as sets of hashed runs of words or characters
===================  =======================================================================
"""

from llmops.data.duplicates.near_duplicates import DuplicateConfig

__all__ = ["DuplicateConfig"]
