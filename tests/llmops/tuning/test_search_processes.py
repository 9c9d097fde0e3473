"""Several processes on one search, some of them killed: no trial is lost, none runs twice to its end."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig

ROOT = Path(__file__).parents[3]
SPACE = {"batch_size": [1, 2, 4], "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]}
GRID = SearchConfig.model_validate({"sampler": "grid", "space": SPACE})


class Workers:
    """Processes that share a search, and what they wrote."""

    def __init__(self, folder: Path, config: SearchConfig, storage: str | None, name: str) -> None:
        self.folder, self.config, self.storage, self.name = folder, config, storage, name
        self.log = folder / "log"
        self.log.touch()

    def start(self, *more: str) -> "subprocess.Popen[bytes]":
        where = ["--storage", self.storage] if self.storage else []
        config = self.config.model_dump_json(exclude_unset=True)
        command = [sys.executable, "-m", "tests.llmops.tuning.trial_worker", str(self.folder), config, self.name]
        return subprocess.Popen([*command, *where, "--log", str(self.log), *more], cwd=ROOT)

    def lines(self, word: str, pid: int | None = None) -> list[tuple[int, int]]:
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(int(n), int(a)) for what, n, a, who in rows if what == word and pid in (None, int(who))]

    def wait_for(self, count: int, pid: int) -> None:
        until = time.monotonic() + 60
        while len(self.lines("claimed", pid)) < count:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def search(self) -> Search:
        return Search(
            self.folder, self.config.model_copy(update={"storage": self.storage}), TrainingConfig(), self.name
        )


def test_a_grid_by_two_workers_of_which_one_is_killed(tmp_path: Path, storage: str | None) -> None:
    workers = Workers(tmp_path, GRID, storage, "grid by two")
    doomed = workers.start("--hang-at", "4")
    workers.wait_for(4, doomed.pid)
    held = workers.lines("claimed", doomed.pid)[-1][0]
    survivor = workers.start()
    workers.wait_for(2, survivor.pid)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert survivor.wait(60) == 0
    if len(workers.lines("finished")) < 12:  # the survivor was through before the other one died
        assert workers.start().wait(60) == 0

    done = Counter(number for number, _ in workers.lines("finished"))
    assert done == dict.fromkeys(range(12), 1)
    assert Counter(number for number, _ in workers.lines("claimed")) == {**done, held: 2}
    search = workers.search()
    points = {(one.values["batch_size"], one.values["learning_rate"]) for one in search.finished()}
    assert points == set(itertools.product(*SPACE.values()))
    assert [one.number for one in search.finished() if one.attempt == 2] == [held]
    assert all(one.curve[100] == 1 / 3 for one in search.finished())
    assert search.why_stopped() == "all 12 points of the grid were tried"
    assert search.claim() is None
    assert search.best().values == {"batch_size": 1, "learning_rate": 1e-4}


def test_a_killed_search_goes_on_and_ends_with_every_trial_once(tmp_path: Path) -> None:
    config = SearchConfig.model_validate({"trials": 5, "seed": 3, "pruner": "median"})
    workers = Workers(tmp_path, config, None, "killed")
    process = workers.start("--hang-at", "3")
    workers.wait_for(3, process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers.start().wait(60) == 0
    assert sorted(number for number, _ in workers.lines("finished")) == list(range(5))
    trials = workers.search().trials()
    assert [one.state for one in trials] == ["finished"] * 5
    assert [one.attempt for one in trials] == [1, 1, 2, 1, 1]
    assert workers.search().spent().trials == 5
