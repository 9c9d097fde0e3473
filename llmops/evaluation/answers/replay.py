"""Answers that are already in the dataset, as if a model had just given them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from llmops.errors import InputError
from llmops.evaluation.answers.schema import BATCH_SCHEMA
from llmops.evaluation.answers.sources import ReplaySource
from llmops.evaluation.questions import Questions


def replay(source: ReplaySource, questions: Questions, run_id: str, folder: Path, batch_size: int) -> list[Path]:
    """Write the answers of a column as a run's files; a question without a value there has no answer.

    Nobody knows what such an answer took, so its tokens, cost and latency are null.

    Raises:
        InputError: no question has such a metadata column.
    """
    files = []
    found = 0
    for number, start in enumerate(range(0, len(questions), batch_size)):
        part = questions.slice(start, start + batch_size).table
        texts = _column(part, source.column)
        there = texts.is_valid()
        rows = pa.array(range(start, start + len(part)), pa.int32()).filter(there)
        found += len(rows)
        known = {
            "key": pa.array([f"{source.model}#{one}" for one in part["id"].filter(there).to_pylist()], pa.string()),
            "model": pa.repeat(pa.scalar(source.model), len(rows)),
            "question_id": part["id"].filter(there).combine_chunks(),
            "repeat": pa.repeat(pa.scalar(0, pa.int32()), len(rows)),
            "text": texts.filter(there),
            "run_id": pa.repeat(pa.scalar(run_id), len(rows)),
            "question": rows,
        }
        columns = [known.get(one.name, pa.nulls(len(rows), one.type)) for one in BATCH_SCHEMA]
        files.append(folder / f"{number:05}.arrow")
        with pa.OSFile(str(files[-1]), "wb") as file, pa.ipc.new_file(file, BATCH_SCHEMA) as writer:
            writer.write_table(pa.table(columns, schema=BATCH_SCHEMA))
    if not found:
        raise InputError(f"no sample has an answer in the column {source.column!r}; there are {_known(questions)}")
    return files


def _column(part: pa.Table, column: str) -> pa.Array:
    """(n,) the first right answers, or the values of a metadata column; null where there is none."""
    if column == "expected":
        return pc.list_element(part["references"].combine_chunks(), 0)
    metadata = part["metadata"].combine_chunks()
    return pc.map_lookup(metadata, pa.scalar(column), "first").cast(pa.string())


def _known(questions: Questions) -> str:
    names: set[str] = set()
    for chunk in questions.table["metadata"].chunks:
        names.update(pc.unique(chunk.keys).to_pylist())
    return ", ".join(["expected", *sorted(names)])
