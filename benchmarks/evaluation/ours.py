"""The flow `evaluate` as a person runs it: its own Prefect server, predictions in the store, scores in MLflow."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.evaluation.job import MODEL, Job, Run, contestant, folder_of

PROJECT = Path(__file__).parents[2]


def publish(job: Job, home: Path) -> str:
    """Make the questions a dataset, all of them to be asked, and give its name."""
    import pyarrow as pa

    from llmops.data import DatasetStore
    from llmops.data.samples import SAMPLE_SCHEMA, sample_table

    questions, right = zip(*job.pairs(), strict=True)
    table = sample_table(input=pa.chunked_array([questions]), expected=pa.chunked_array([right]))
    column = SAMPLE_SCHEMA.get_field_index("split")
    splits = pa.array(["test"] * job.questions, pa.string())
    name = job.label.replace(" ", "-")
    DatasetStore(home / "datasets").publish(name, table.set_column(column, SAMPLE_SCHEMA.field(column), splits))
    return name


def evaluate(job: Job) -> Run:
    """Run the flow, and give the time that its own result says it took to ask and to score."""
    home = folder_of(job) / "home"
    dataset = publish(job, home)
    command = [sys.executable, "-m", "flows.cli", "run", "evaluate", "--json", "--dataset", dataset]
    command += ["--model", f"openai/{MODEL}", "--metrics", "exact_match", "--concurrency", str(job.concurrency)]
    environment = {"LLMOPS_HOME": str(home), "OPENAI_BASE_URL": job.base_url, "OPENAI_API_KEY": "none"}
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    whole = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"status {done.returncode}: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return Run(asking_and_scoring(result["run_id"], home), whole, result["metrics"]["exact_match"]["value"])


def asking_and_scoring(run_id: str, home: Path) -> float:
    """Seconds from the start of asking to the last interval, as the run in MLflow has them."""
    from mlflow import MlflowClient

    return float(MlflowClient(f"sqlite:///{home / 'mlflow.db'}").get_run(run_id).data.metrics["seconds"])


if __name__ == "__main__":
    contestant(evaluate)
