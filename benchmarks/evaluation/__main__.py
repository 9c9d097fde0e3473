"""An evaluation against an endpoint that answers in 100 ms: ours, promptfoo, MLflow's, and a client that only asks.

    python -m benchmarks.evaluation [--questions 500 5000] [--concurrency 10 50 200] [--without promptfoo mlflow]

The endpoint (`benchmarks.chat_endpoint`) is a process of its own, and so is each contestant, one after another. Each
asks the same number of questions, keeps the answers in its own store and scores them by exact match; the bare client
(aiohttp) only asks. `seconds` is asking, storing and scoring: by the run of ours in MLflow, by promptfoo's statistics,
around the call of `mlflow.genai.evaluate`; `whole` is the process with its start-up and all that it writes at the end.
A run counts only where the endpoint was asked each question and the share of right answers is the planted one. Who is
stopped, fails or does not count is not tried with more questions.

MLflow asks at most 10 questions a second at first and more as it goes well; `mlflow` is without that limit
(MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT=0), `mlflow-limited` is as it comes. promptfoo is installed by npm at the first
use, into --npm-folder.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.evaluation import promptfoo
from benchmarks.evaluation.job import RIGHT, Job, Run

PROJECT = Path(__file__).parents[2]
MODULES = {
    "bare client": "bare_client",
    "ours": "ours",
    "promptfoo": "promptfoo",
    "mlflow": "mlflow_evaluate",
    "mlflow-limited": "mlflow_evaluate",
}
ENVIRONMENTS = {"mlflow": {"MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0"}}


@contextmanager
def running_endpoint(delay: float) -> Iterator[str]:
    """The endpoint in a process of its own, for as long as it is needed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.chat_endpoint", "--port", str(port), "--delay", str(delay)]
    process = subprocess.Popen(command, cwd=PROJECT)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                call(f"{url}/requests")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit("the endpoint did not start")
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def call(url: str, body: object = None, method: str | None = None) -> Any:
    """Tell the endpoint something, or ask it."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def compete(name: str, url: str, job: Job, npm_folder: Path, limit_s: float) -> Run | str:
    """Have a contestant do a job: what it took, or why it does not count."""
    call(f"{url}/requests", method="DELETE")
    call(f"{url}/answers", job.answers())
    command = [sys.executable, "-m", f"benchmarks.evaluation.{MODULES[name]}", json.dumps(asdict(job))]
    process = subprocess.Popen(
        [*command, str(npm_folder)],
        cwd=PROJECT,
        env={**os.environ, **ENVIRONMENTS.get(name, {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, said = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        # With all that it has started.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"stopped after {limit_s:g} s, {call(f'{url}/requests')['total']:,} requests made"
    if process.returncode:
        return f"failed: {(said.strip().splitlines() or ['without a word'])[-1]}"
    run = Run(**json.loads(output.splitlines()[-1]))
    asked = call(f"{url}/requests")["asked"]
    missing = sum(question not in asked for question, _ in job.pairs())
    if missing:
        return f"does not count: {missing} questions were not asked"
    if run.right is not None and abs(run.right - RIGHT) > 1e-9:
        return f"does not count: {run.right:.1%} right by its scores, {RIGHT:.1%} by the answers"
    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, nargs="+", default=[500, 5000], help="Multiples of 5.")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--delay", type=float, default=0.1, help="Seconds that the endpoint takes to answer.")
    parser.add_argument("--without", nargs="+", default=[], choices=[name for name in MODULES if " " not in name])
    parser.add_argument(
        "--limit", type=float, default=60, help="Seconds, beside three times the ideal, after which one is stopped."
    )
    parser.add_argument(
        "--npm-folder", type=Path, default=Path.home() / ".cache" / "llmops-benchmarks", help="Where promptfoo is kept."
    )
    chosen = parser.parse_args()
    names = [name for name in MODULES if name not in chosen.without]
    reason = promptfoo.install(chosen.npm_folder) if "promptfoo" in names else None
    if reason:
        print(f"Without promptfoo: {reason}")
        names.remove("promptfoo")
    with tempfile.TemporaryDirectory() as folder, running_endpoint(chosen.delay) as url:

        def run(name: str, label: str, questions: int, concurrency: int, limit_s: float) -> Run | str:
            job = Job(f"{url}/v1", questions, concurrency, label, f"{folder}/{name}")
            return compete(name, url, job, chosen.npm_folder, limit_s)

        for name in names:
            (Path(folder) / name).mkdir()
            # At its first use it sets up its databases and is read from the disk.
            run(name, "first", 5, 5, chosen.limit)
        print(f"{'questions':>9} {'at once':>7}  {'':<14} {'seconds':>8} {'to bare':>8} {'a second':>9} {'whole':>7}")
        given_up: set[tuple[str, int]] = set()
        for questions, concurrency in product(sorted(chosen.questions), chosen.concurrency):
            bare = None
            limit_s = chosen.limit + 3 * questions / concurrency * chosen.delay
            for name in names:
                where = f"{questions:>9,} {concurrency:>7}  {name:<14} "
                if (name, concurrency) in given_up:
                    print(f"{where} not tried again", flush=True)
                    continue
                done = run(name, f"{questions}x{concurrency}", questions, concurrency, limit_s)
                if isinstance(done, str):
                    given_up.add((name, concurrency))
                    print(f"{where} {done}", flush=True)
                    continue
                bare = bare or done.seconds
                figures = f"{done.seconds:>8.2f} {done.seconds / bare:>7.2f}x {questions / done.seconds:>9,.0f}"
                print(f"{where}{figures} {done.whole_s:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
