"""promptfoo from npm: `promptfoo eval` on its OpenAI provider, results in its database, nothing cached.

It needs a newer Node than most systems have, so one is installed beside it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.evaluation.job import MODEL, Job, Run, contestant, folder_of

PACKAGES = ("promptfoo@0.123.1", "node@22.23.3")
QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    # A wrong answer is no failure of the command.
    "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0",
}


def install(folder: Path) -> str | None:
    """Install it with npm where it is not there (1.6 GB, some minutes), and give the reason if that cannot be done."""
    ready = folder / "-".join(PACKAGES).replace("@", "-")
    if ready.exists():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not on this machine"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Installing {' and '.join(PACKAGES)} into {folder} …", flush=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"npm could not install it: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    ready.touch()
    return None


def evaluate(job: Job, installed: Path) -> Run:
    """Evaluate, and give the duration that its own statistics say."""
    folder = folder_of(job)
    config, output = folder / "promptfooconfig.json", folder / "output.json"
    tests = [
        {"vars": {"question": question}, "assert": [{"type": "equals", "value": right}]}
        for question, right in job.pairs()
    ]
    provider = {"id": f"openai:chat:{MODEL}", "config": {"apiBaseUrl": job.base_url, "apiKey": "none"}}
    config.write_text(json.dumps({"prompts": ["{{question}}"], "providers": [provider], "tests": tests}))
    node, program = (installed / "node_modules" / ".bin" / name for name in ("node", "promptfoo"))
    command = [str(node), str(program.resolve()), "eval", "-c", str(config), "-o", str(output), "--no-cache"]
    command += ["-j", str(job.concurrency), "--no-progress-bar", "--no-table"]
    environment = {**os.environ, **QUIET, "PROMPTFOO_CONFIG_DIR": str(folder / "settings")}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"promptfoo ended with status {done.returncode}: {done.stderr or done.stdout}")
    counted = json.loads(output.read_text())["results"]["stats"]
    return Run(counted["durationMs"] / 1000, whole, counted["successes"] / job.questions)


if __name__ == "__main__":
    contestant(lambda job: evaluate(job, Path(sys.argv[2])))
