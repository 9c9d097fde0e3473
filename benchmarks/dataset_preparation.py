"""One million samples from a Parquet file to a published version, beside what a script would do with pandas.

Ours reads, validates, drops exact and near repeats, splits without leaks and publishes to Delta. The script reads,
drops exact repeats, splits at random and writes three Parquet files: no validation, no near duplicates, no versions.
Each runs in a process of its own; the peak is that process's largest resident set, file pages it had mapped included.

    python -m benchmarks.dataset_preparation [--rows 1000000]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 50_000
WORDS = 30_000
INPUT_WORDS, EXPECTED_WORDS = 35, 25
COMMON = """
the of and to a in is that for it was on with as be at by this have from or had not are but what all were when we
there can an your which their said if do will each about how up out them then she many some so these would other
into has more her two like him see time could no make than first been its who now people my made over did down only
way find use may water long little very after words called just where most know
"""
REPEATS, TWINS = 0.02, 0.03  # shares of the rows that repeat an earlier row exactly, or but for one word


def write_source(path: Path, rows: int) -> None:
    """Samples of 60 words with Zipf's frequencies, the commonest ones English; some repeat earlier samples."""
    random = np.random.default_rng(0)
    letters = np.array(list("aeioubcdfghklmnprst"))
    words = np.array(["".join(random.choice(letters, size)) for size in random.integers(2, 10, WORDS)], dtype=object)
    common = COMMON.split()
    words[: len(common)] = common
    frequency = 1 / np.arange(1, WORDS + 1)
    frequency /= frequency.sum()
    schema = pa.schema([("input", pa.string()), ("expected", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, BATCH):
            size = min(BATCH, rows - start)
            chosen = words[random.choice(WORDS, (size, INPUT_WORDS + EXPECTED_WORDS), p=frequency)]
            for row in np.flatnonzero(random.random(size) < TWINS + REPEATS):
                chosen[row] = chosen[random.integers(0, size)]
                if random.random() < TWINS / (TWINS + REPEATS):
                    chosen[row, random.integers(0, chosen.shape[1])] = random.choice(words)
            asked = [f"{' '.join(row[:INPUT_WORDS]).capitalize()}?" for row in chosen]
            said = [f"{' '.join(row[INPUT_WORDS:]).capitalize()}." for row in chosen]
            writer.write_table(pa.table([asked, said], schema=schema))


def ours(source: Path, folder: Path) -> dict[str, float]:
    """Prepare and publish; seconds by step."""
    from llmops.data import DatasetStore, PreparationConfig, prepare

    began = time.perf_counter()
    prepared = prepare(source, PreparationConfig(), folder=folder)
    read = time.perf_counter()
    version = DatasetStore(folder / "datasets").publish("million", prepared.samples, sources=prepared.report.sources)
    done = time.perf_counter()
    return {
        "prepare": read - began,
        "publish": done - read,
        "total": done - began,
        **{reason: float(count) for reason, count in prepared.report.dropped.items()},
        **{split: float(count) for split, count in version.counts.items()},
    }


def pandas_script(source: Path, folder: Path) -> dict[str, float]:
    """What a script does: exact repeats, a random split, three files."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    began = time.perf_counter()
    frame = pd.read_parquet(source).drop_duplicates()
    train, rest = train_test_split(frame, test_size=0.2, random_state=0)
    validation, test = train_test_split(rest, test_size=0.5, random_state=0)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        part.to_parquet(folder / f"{name}.parquet")
    return {"total": time.perf_counter() - began, "train": float(len(train))}


CONTENDERS = {"ours": ours, "pandas": pandas_script}


def in_its_own_process(contender: str, source: Path) -> dict[str, float]:
    """Run one contender in a new process and read its figures and its peak memory."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [sys.executable, "-m", "benchmarks.dataset_preparation", "--contender", contender]
        done = subprocess.run([*command, str(source), folder], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the figures of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--contender", nargs=3, metavar=("NAME", "SOURCE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        name, source, folder = options.contender
        figures = CONTENDERS[name](Path(source), Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({**figures, "peak_gib": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.parquet"
        write_source(source, options.rows)
        print(f"{options.rows:,} rows, {source.stat().st_size / 2**20:.0f} MiB of Parquet")
        figures = {name: in_its_own_process(name, source) for name in CONTENDERS}
        for name, values in figures.items():
            listed = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
            print(f"{name:>7}: {listed}")
        ratio = figures["ours"]["total"] / figures["pandas"]["total"]
        print(f"ours / pandas: {ratio:.1f} times the time, with validation, near duplicates and a version")


if __name__ == "__main__":
    main()
