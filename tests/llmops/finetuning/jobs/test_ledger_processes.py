"""The ledger in several processes and threads, and in one that is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from llmops.finetuning.jobs import JobLedger


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_stops_anywhere_leaves_the_record_of_before(
    ledger: JobLedger, job: dict[str, Any], broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ledger.begin(**job)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), stop)
        with pytest.raises(KeyboardInterrupt):
            ledger.update(record.id, cost=1.0)
    assert ledger.get(record.id) == record
    assert ledger.update(record.id, cost=2.0).cost == 2.0


BEGIN = """
import json, sys
from pathlib import Path
from llmops.finetuning.jobs import JobLedger
folder, job = Path(sys.argv[1]), json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(JobLedger(folder).begin(**job).id)
"""


def test_processes_that_begin_at_once_get_one_attempt(ledger: JobLedger, job: dict[str, Any]) -> None:
    started = [_process(BEGIN, str(ledger.folder), json.dumps(job)) for _ in range(3)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert {process.communicate()[0] for process in started} == {f"llmops-{job['key'][:16]}-1\n"}
    assert len(ledger.all()) == 1


UPDATE = """
import sys
from pathlib import Path
from llmops.finetuning.jobs import JobLedger
ledger, id = JobLedger(Path(sys.argv[1])), sys.argv[2]
for number in range(10**9):
    ledger.note(id, "number", str(number))
    print(number, flush=True)
"""


def test_a_killed_process_leaves_a_whole_record_and_no_lock(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)
    chance = random.Random(0)
    for _ in range(3):
        process = _process(UPDATE, str(ledger.folder), record.id)
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()
        kept = int(ledger.get(record.id).noted["number"])
        # What it had said was stored is stored; it may have stored one more.
        assert kept >= int(said[-1] if said else 0)
        assert ledger.update(record.id, cost=float(kept)).cost == float(kept)


def test_threads_lose_no_change(ledger: JobLedger, job: dict[str, Any]) -> None:
    record = ledger.begin(**job)

    def note(thread: int) -> None:
        for number in range(10):
            ledger.note(record.id, f"{thread}-{number}", "x")

    threads = [threading.Thread(target=note, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.get(record.id).noted) == 40


def _process(code: str, *arguments: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
