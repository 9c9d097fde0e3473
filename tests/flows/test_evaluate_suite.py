"""The flow of a suite: every model by itself, a verdict of each, and an end that says whether all is well."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml
from mlflow import MlflowClient

from flows import evaluate_suite as module
from llmops.data import DatasetStore
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError, ServiceError
from tasks import suite_conclusions
from tasks.suite_history import SUITE_TAG, resolve_baselines
from tasks.tracking import tracked_run

Asked = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def suites(home: Path) -> Callable[..., str]:
    """Writes a file with the suite `sums`; its dataset is there."""
    columns = {name: pa.chunked_array([[f"{name} 1", f"{name} 2"]], pa.string()) for name in ("input", "expected")}
    table, split = sample_table(**columns), SAMPLE_SCHEMA.get_field_index("split")
    in_test = table.set_column(split, SAMPLE_SCHEMA.field(split), pa.array(["test"] * 2, pa.string()))
    DatasetStore(home / "datasets").publish("sums", in_test)

    def write(**fields: Any) -> str:
        file = home / "evaluation.yaml"
        file.write_text(yaml.safe_dump({"suites": {"sums": {"dataset": "sums", "models": ["a", "b"], **fields}}}))
        return str(file)

    return write


def answering(monkeypatch: pytest.MonkeyPatch, verdicts: dict[str, str]) -> Asked:
    """Puts an evaluation in the place of `evaluate` that comes to given verdicts, and keeps what it was asked."""
    asked: Asked = []

    def evaluate(dataset: str, model: str, **arguments: Any) -> Any:
        asked.append((dataset, model, arguments))
        if verdicts[model] == "no answer":
            raise ServiceError(f"{model} does not answer")
        with tracked_run("evaluate", experiment="sums") as run:
            pass
        comparison = SimpleNamespace(
            verdict=verdicts[model], passed=verdicts[model] != "worse", sentence="So it is.", verdicts={}
        )
        compared = [SimpleNamespace(model=one, changes=None, comparison=comparison) for one in arguments["baseline"]]
        failed = any(not one.comparison.passed for one in compared)
        return SimpleNamespace(
            run_id=run.run_id, comparisons=compared, metrics={}, exit_status=int(failed), notes=[f"{model} is partial"]
        )

    monkeypatch.setattr(module, "evaluate", evaluate)
    return asked


@pytest.mark.usefixtures("prefect_server")
def test_one_failed_gate_fails_the_suite_below_one_parent_run(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, {"a": "not worse", "b": "worse"})
    file = suites(baseline=["c", "last-passed"], concurrency=3, prompt="prompts:/sums@champion")
    result = module.evaluate_suite("sums", file)
    assert result.exit_status == 1
    assert result.verdicts == {"a": "not worse", "b": "worse"}
    assert [one.news for one in result.outcomes] == ["passed", "failed"]
    assert [(dataset, model) for dataset, model, _ in asked] == [("sums@1", "a"), ("sums@1", "b")]
    _, _, given = asked[0]
    assert (given["baseline"], given["concurrency"], given["prompt"]) == (["c"], 3, "prompts:/sums@champion")
    assert given["evaluation"].fresh
    assert "metrics" not in given  # the flow's own default
    client = MlflowClient()
    parent = client.get_run(result.run_id)
    assert (parent.data.tags[SUITE_TAG], parent.data.tags["passed"]) == ("sums", "false")
    for one in result.outcomes:
        assert client.get_run(one.run_id).data.tags["mlflow.parentRunId"] == result.run_id

    module.evaluate_suite("sums", file)
    # What passed is what the next run is compared with; what failed is not.
    assert [arguments["baseline"] for _, _, arguments in asked[2:]] == [
        ["c", f"last-passed@run:{result.outcomes[0].run_id}"],
        ["c"],
    ]


@pytest.mark.usefixtures("prefect_server")
def test_an_outage_of_one_model_leaves_the_others_evaluated_and_ends_as_one(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, {"a": "no answer", "b": "not worse"})
    said = r"suite sums, a: a does not answer \(1 of the suite's 2 models were evaluated\)"
    with pytest.raises(ServiceError, match=said):
        module.evaluate_suite("sums", suites(baseline=["c"]))
    assert [model for _, model, _ in asked] == ["a", "b"]


@pytest.mark.usefixtures("prefect_server")
def test_a_suite_that_is_not_there_is_bad_input(suites: Callable[..., str]) -> None:
    with pytest.raises(InputError, match="there is no suite 'products'; there are: sums"):
        module.evaluate_suite("products", suites())


@pytest.mark.usefixtures("prefect_server")
def test_what_a_reader_must_know_stands_in_the_result_and_on_the_page(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    pages: list[str] = []
    monkeypatch.setattr(suite_conclusions, "create_markdown_artifact", lambda text, **_: pages.append(text))
    answering(monkeypatch, {"a": "not worse", "b": "not worse"})
    result = module.evaluate_suite("sums", suites())
    assert [one["notes"] for one in result.model_dump()["outcomes"]] == [["a is partial"], ["b is partial"]]
    assert "- a: a is partial" in pages[0].splitlines()
    console = Console(width=120)
    with console.capture() as shown:
        console.print(result)
    assert "b: b is partial" in shown.get()


@pytest.mark.usefixtures("prefect_server")
def test_a_run_of_another_context_is_compared_with_main_and_is_no_baseline(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(suite_conclusions, "announce_gate", lambda news, suite, *_: told.append(news) or True)
    monkeypatch.setattr(suite_conclusions, "announce_broken", lambda *_: told.append("broken") or True)
    asked = answering(monkeypatch, {"a": "not worse"})
    file = suites(models=["a"])
    [main] = module.evaluate_suite("sums", file).outcomes
    module.evaluate_suite("sums", file, "pull-request-7")
    assert asked[-1][2]["baseline"] == [f"last-passed@run:{main.run_id}"]
    assert resolve_baselines("sums", "a", ("last",)) == [f"last@run:{main.run_id}"]
    answering(monkeypatch, {"a": "no answer"})
    with pytest.raises(ServiceError):
        module.evaluate_suite("sums", file, "pull-request-7")
    assert told == ["passed"]


@pytest.mark.usefixtures("prefect_server")
def test_a_model_that_cannot_be_evaluated_is_said_once_until_it_was(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []
    delivered = [False, True, True]

    def announce(*given: str) -> bool:
        told.append(given)
        return delivered.pop(0)

    monkeypatch.setattr(suite_conclusions, "announce_broken", announce)
    verdicts = {"a": "no answer", "b": "not worse"}
    answering(monkeypatch, verdicts)
    file = suites()

    def run() -> None:
        with pytest.raises(ServiceError):
            module.evaluate_suite("sums", file)

    run()  # which nobody heard
    run()
    run()
    assert told == [("sums", "a", "a does not answer")] * 2
    verdicts["a"] = "not worse"
    module.evaluate_suite("sums", file)
    verdicts["a"] = "no answer"
    run()
    assert len(told) == 3


@pytest.mark.usefixtures("prefect_server")
def test_without_its_dataset_no_model_can_be_evaluated(
    suites: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(suite_conclusions, "announce_broken", lambda suite, model, error: told.append(model) or True)
    for _ in range(2):
        with pytest.raises(InputError, match="products"):
            module.evaluate_suite("sums", suites(dataset="products"))
    assert told == ["a", "b"]
