"""Answers collected through Prefect: which task runs there are, and what they leave."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from llmops.errors import ServiceError
from llmops.evaluation.answers import EndpointSource
from llmops.evaluation.questions import QUESTION_SCHEMA, Questions
from llmops.llm.client import ClientConfig
from llmops.llm.completions import Parameters
from tasks.answers import answer_store, collect_answers

pytestmark = pytest.mark.usefixtures("prefect_server")


def _questions(number: int) -> Questions:
    rows = [
        {
            "id": f"{n}",
            "input": f"Q{n}",
            "messages": json.dumps([{"role": "user", "content": f"Q{n}"}]),
            "references": ["x"],
            "sample_ids": ["x"],
            "group": "x",
        }
        for n in range(number)
    ]
    return Questions(pa.Table.from_pylist(rows, QUESTION_SCHEMA))


def _collect(number: int, **options: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    @flow(name="collect", log_prints=False)
    def collecting() -> None:
        from prefect.runtime import flow_run

        seen["flow_run_id"] = flow_run.id
        source = EndpointSource("openai/test-model", ClientConfig(concurrency=4))
        arguments = {"run_id": "r", "title": "Ask", "batch_size": 5, **options}
        with collect_answers(source, _questions(number), None, Parameters(), **arguments) as collected:
            seen["report"] = collected.report
            seen["texts"] = [text for table in collected.tables() for text in table["text"].to_pylist()]

    try:
        collecting()
    finally:
        seen["tasks"] = _task_runs(seen["flow_run_id"])
    return seen


def _task_runs(flow_run_id: str) -> list[tuple[str, str]]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        until = time.monotonic() + 20
        while True:  # the server takes in what became of task runs a moment later
            found = sorted((run.name, str(run.state_name)) for run in client.read_task_runs(flow_run_filter=only))
            if all(state == "Completed" for _, state in found) or time.monotonic() > until:
                return found
            time.sleep(0.2)


def test_one_task_a_batch_and_none_for_what_is_known(
    home: Path, chat_endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = chat_endpoint()
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    first = _collect(12)
    assert first["texts"] == [f"You said: Q{n}" for n in range(12)]
    assert first["report"].answered == 12
    names = [f"ask openai/test-model, batch {number} of 3" for number in (1, 2, 3)]
    assert first["tasks"] == [(name, "Completed") for name in names]
    again = _collect(12)
    assert (again["report"].answered, again["report"].reused, again["tasks"]) == (0, 12, [])
    assert endpoint.seen()["total"] == 12

    endpoint.fail({"kind": "401", "times": 1000})
    with pytest.raises(ServiceError, match="check the key"):
        _collect(20)
    assert list(answer_store().runs.iterdir()) == []
