"""Stages in a terminal, in a pipe, and as Prefect progress artifacts."""

import io
import logging
import threading
import time

import pytest
from rich.console import Console

from tasks import progress_artifacts
from tasks.progress import show_stages, stage
from tasks.progress_artifacts import ProgressArtifact, Run, flush_progress_artifacts
from tasks.terminal_stages import TerminalStages


@pytest.fixture(autouse=True)
def _no_terminal_afterwards() -> "object":
    yield
    show_stages(None)


def pipe() -> io.StringIO:
    """Show stages in something that is no terminal."""
    stream = io.StringIO()
    show_stages(TerminalStages(Console(file=stream, width=100)))
    return stream


def test_without_a_terminal_a_stage_is_a_line_at_its_start_and_one_at_its_end() -> None:
    stream = pipe()
    with stage("Training") as outer:
        with stage("Trial 1") as inner:
            inner.update(3, 10, "loss 0.5")
            inner.finish("loss 0.4")
        outer.finish("2 trials")
    said = stream.getvalue().splitlines()
    assert [line.rpartition("  ")[0] if "✓" in line else line for line in said] == [
        "… Training",
        "  … Trial 1",
        "  ✓ Trial 1  loss 0.4",
        "✓ Training  2 trials",
    ]
    assert "\x1b" not in stream.getvalue()


def test_without_a_terminal_a_long_stage_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = pipe()
    now = 1000.0
    monkeypatch.setattr("tasks.terminal_stages.time.monotonic", lambda: now)
    with stage("Asking") as line:
        assert line.line is not None
        line.line.started = line.line.said_at = now
        for now in (1010.0, 1040.0, 1041.0, 1080.0):
            line.update(now - 1000, 160, "2 a second")
    assert stream.getvalue().splitlines()[1:3] == [
        "… Asking: 40 of 160, 2 a second, after 40.0 s, about 2:00 left",
        "… Asking: 80 of 160, 2 a second, after 1:20, about 1:20 left",
    ]


def test_a_failing_stage_has_a_cross_and_the_error_goes_on() -> None:
    stream = pipe()
    with pytest.raises(ValueError, match="no"), stage("Register"):
        raise ValueError("no")
    assert stream.getvalue().splitlines()[-1].startswith("✗ Register")


def test_in_a_terminal_the_bar_moves_and_only_the_tick_stays() -> None:
    stream = io.StringIO()
    show_stages(TerminalStages(Console(file=stream, force_terminal=True, width=100)))
    with stage("Training") as line:
        for done in range(0, 101, 10):
            line.update(done, 100, f"loss {done}")
            time.sleep(0.02)
        line.finish("100 steps [not markup]")
    drawn = stream.getvalue()
    assert "/100" in drawn
    assert "100 steps [not markup]" in drawn
    assert drawn.rstrip().splitlines()[-1].count("Training") == 1


def test_stages_of_several_threads_at_once() -> None:
    stream = pipe()

    def work(number: int) -> None:
        with stage(f"Trial {number}") as line:
            for done in range(50):
                line.update(done, 50, "")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = stream.getvalue().splitlines()
    assert sorted(line[2:9] for line in said if line.startswith("✓")) == [f"Trial {number}" for number in range(8)]


def test_outside_of_any_run_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="llmops.stages"), stage("Quiet") as line:
        line.finish("done and dusted")
    assert [record.getMessage().partition(" after")[0] for record in caplog.records] == [
        "Quiet: started",
        "Quiet: finished",
    ]
    assert "done and dusted" in caplog.records[-1].getMessage()


def test_many_updates_are_few_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Recorder:
        def put(self, artifact: ProgressArtifact) -> None:
            written.append(artifact.percent)

    clock = iter(range(100_000))
    monkeypatch.setattr(progress_artifacts, "_writer", Recorder)
    monkeypatch.setattr(progress_artifacts.time, "monotonic", lambda: next(clock) / 1000)  # a millisecond a call
    artifact = ProgressArtifact("progress-x", "X", Run(None, None))
    for done in range(10_000):
        artifact.update(done / 100, "")
    artifact.end("", failed=False)
    # Ten seconds of updates: the creation, one every two seconds, the end.
    assert len(written) in (6, 7)
    assert written[-1] == 100.0


@pytest.mark.service
def test_in_a_run_there_is_an_artifact_with_a_stable_key(prefect_server: None) -> None:
    from prefect import flow, task
    from prefect.client.orchestration import get_client

    @task
    def train(fail: bool) -> None:
        with stage("Training of X") as line:
            line.update(1, 4, "loss 0.9")
            if fail:
                raise ValueError("diverged")
            line.finish("4 steps")

    @flow
    def trains() -> None:
        train(False)
        train(True, return_state=True)

    with stage("Outside"):  # in no run, so it has none
        trains()
    flush_progress_artifacts()
    with get_client(sync_client=True) as client:
        artifacts = client.request("POST", "/artifacts/filter", json={"sort": "UPDATED_DESC"}).json()
    ours = [one for one in artifacts if one["key"] == "progress-training-of-x"]  # other tests use the same server
    found = sorted((one["key"], one["data"], one["description"]) for one in ours)
    assert found == [
        ("progress-training-of-x", 25.0, "Training of X: failed"),
        ("progress-training-of-x", 100.0, "Training of X: 4 steps"),
    ]
    assert all(one["task_run_id"] and one["flow_run_id"] for one in ours)
    assert not [one for one in artifacts if one["key"] == "progress-outside"]
