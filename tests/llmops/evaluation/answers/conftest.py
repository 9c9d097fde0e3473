"""Questions, a store, and a run over them without Prefect."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from benchmarks.chat_endpoint import Endpoint, application
from llmops.evaluation.answers import AnswerStore, Collected, EndpointSource, Source
from llmops.evaluation.answers.batch_workers import answer_batches
from llmops.evaluation.answers.collection import collect
from llmops.evaluation.questions import QUESTION_SCHEMA, Questions
from llmops.llm.client import ClientConfig
from llmops.llm.completions import Parameters


@dataclass(frozen=True)
class RunningEndpoint:
    """`benchmarks.chat_endpoint` in a thread of the tests."""

    base_url: str
    endpoint: Endpoint

    def seen(self) -> dict[str, Any]:
        asked = dict(self.endpoint.asked)
        return {"total": sum(asked.values()), "asked": asked, "most_in_flight": self.endpoint.most_in_flight}

    def answer(self, answers: Mapping[str, str]) -> None:
        self.endpoint.answers.update(answers)

    def fail(self, *faults: Mapping[str, Any]) -> None:
        self.endpoint.faults = [dict(one) for one in faults]


@pytest.fixture
def chat_endpoint() -> Iterator[Callable[..., RunningEndpoint]]:
    """In a thread instead of a process: many of these tests start one, and none measures it."""
    # Its end cancels what hangs, which a shutdown of the servers would wait for.
    with start_blocking_portal() as portal:

        async def serve(delay: float) -> RunningEndpoint:
            endpoint = Endpoint(delay=delay)
            runner = web.AppRunner(application(endpoint), access_log=None, shutdown_timeout=0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return RunningEndpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", endpoint)

        yield lambda delay=0.0: portal.call(serve, delay)


def _questions(inputs: Sequence[str], metadata: Sequence[dict[str, str]] | None = None) -> Questions:
    rows = [
        {
            "id": f"id-{number}",
            "input": text,
            "messages": json.dumps([{"role": "user", "content": text}]),
            "references": [f"right {number}"],
            "sample_ids": [str(number)],
            "group": str(number),
            "metadata": list((metadata[number] if metadata else {}).items()),
        }
        for number, text in enumerate(inputs)
    ]
    return Questions(pa.Table.from_pylist(rows, QUESTION_SCHEMA))


@pytest.fixture
def make_questions() -> Callable[..., Questions]:
    """Questions with these inputs."""
    return _questions


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path / "answers")


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EndpointSource]:
    """A model behind an endpoint: ``source(endpoint, concurrency=8)``."""

    def make(endpoint: Any, name: str = "openai/test-model", **client: Any) -> EndpointSource:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        return EndpointSource(name, ClientConfig(**{"concurrency": 8, "timeout_s": 10, **client}))

    return make


@pytest.fixture
def run(store: AnswerStore) -> Callable[..., Collected]:
    """Collect answers with threads for tasks."""

    def collect_them(source: Source, questions: Questions, **options: Any) -> Collected:
        parameters = options.pop("parameters", Parameters(max_tokens=20))
        messages = options.pop("messages", None)
        with ThreadPoolExecutor() as pool:
            return collect(
                store,
                source,
                questions,
                messages,
                parameters,
                lambda plan, numbers: pool.submit(answer_batches, plan, numbers),
                **{"run_id": "run", "batch_size": 10, **options},
            )

    return collect_them
