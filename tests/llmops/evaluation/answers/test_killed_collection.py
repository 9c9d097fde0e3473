"""kill -9 in the middle of a run, and the same command again."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from llmops.evaluation.answers import EndpointSource
from llmops.evaluation.questions import Questions

IN_FLIGHT = 10
INPUTS = [f"Question {n:03}" for n in range(240)]
SCRIPT = f"""
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pyarrow as pa
from llmops.evaluation.answers import AnswerStore, EndpointSource
from llmops.evaluation.answers.batch_workers import answer_batches
from llmops.evaluation.answers.collection import collect
from llmops.evaluation.questions import Questions
from llmops.llm.client import ClientConfig
from llmops.llm.completions import Parameters

with pa.memory_map(sys.argv[2]) as file:
    questions = Questions(pa.ipc.open_file(file).read_all())
source = EndpointSource("openai/test-model", ClientConfig(concurrency={IN_FLIGHT}))
with ThreadPoolExecutor() as pool:
    submit = lambda plan, numbers: pool.submit(answer_batches, plan, numbers)
    found = collect(
        AnswerStore(Path(sys.argv[1])), source, questions, None, Parameters(max_tokens=20), submit, batch_size=40
    )
with found:
    rows = [row for table in found.tables() for row in table.select(["question", "repeat", "text"]).to_pylist()]
    print(json.dumps({{"rows": rows, "answered": found.report.answered, "reused": found.report.reused}}))
"""


def _start(home: Path, questions: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(home), str(questions)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def test_a_killed_run_goes_on_and_pays_only_for_what_was_in_flight(
    tmp_path: Path,
    make_questions: Callable[..., Questions],
    source: Callable[..., EndpointSource],
    chat_endpoint: Any,
) -> None:
    chance = random.Random(1)
    endpoint = chat_endpoint(delay=0.02)
    source(endpoint)  # sets the environment
    questions = make_questions(INPUTS)
    file, home = tmp_path / "questions.arrow", tmp_path / "killed"
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, questions.table.schema) as writer:
        writer.write_table(questions.table)

    kills = sorted(chance.sample(range(5, 230), 2))
    asked_again = 0
    for target in kills:
        process = _start(home, file)
        try:
            while (seen := endpoint.seen())["total"] < target + asked_again:
                assert process.poll() is None
                time.sleep(0.005)
        finally:
            process.kill()
            process.wait()
        asked_again = sum(times - 1 for times in endpoint.seen()["asked"].values())
        assert seen["total"] >= target
    process = _start(home, file)
    said = json.loads(process.communicate(timeout=120)[0])
    assert process.returncode == 0

    asked = endpoint.seen()["asked"]
    assert set(asked) == set(INPUTS)
    assert sum(asked.values()) <= len(INPUTS) + IN_FLIGHT * len(kills)
    assert said["answered"] + said["reused"] == len(INPUTS) and said["reused"] >= kills[-1] - IN_FLIGHT * len(kills)
    assert said["rows"] == [{"question": n, "repeat": 0, "text": f"You said: {text}"} for n, text in enumerate(INPUTS)]
    left = [path for path in home.rglob("*") if path.suffix == ".jsonl" or path.parent.name == "runs"]
    assert left == []
