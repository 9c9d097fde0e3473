"""Reading: whatever files a team has, a batch at a time, as samples.

================  ============================================================================
``sources``       which files a path, a folder, a pattern or an s3:// address stands for
``readers``       `read_all` and `read_samples`: the way in
``jsonl_rows``    one file a format: ``json_rows``, ``csv_rows``, ``parquet_rows``; each gives
``raw_rows``      the columns of some rows, and findings for the rows that are none
``shapes``        which column is what: recognised once a file, then applied to every batch
``chat_formats``  the conversations of OpenAI, Claude, Vertex and ShareGPT as messages
``text_columns``  values of any type as text
================  ============================================================================
"""

from llmops.data.reading.readers import SampleBatch, read_all, read_batches, read_samples
from llmops.data.reading.sources import SourcePath, find_sources

__all__ = ["SampleBatch", "SourcePath", "find_sources", "read_all", "read_batches", "read_samples"]
