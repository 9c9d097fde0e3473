"""`evaluate` on a model behind an API, on recorded answers and on an earlier run: real HTTP, Prefect and MLflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from flows.evaluate import evaluate
from llmops.data.samples import SAMPLE_SCHEMA, sample_table
from llmops.errors import InputError, ServiceError
from llmops.evaluation import GateConfig
from llmops.evaluation.answers import Budget
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.judges.config import JudgeConfig
from llmops.llm.client import ClientConfig
from tasks.datasets import dataset_store

pytestmark = pytest.mark.service

N = 120
GATE = GateConfig(margins={"exact_match": 0.05})
ODD = JudgeConfig(kind="pass_fail", models=("opnai/judge",), instructions="Is it a number?")


@pytest.fixture
def sums(home: Path) -> None:
    """The dataset `sums`: easy and hard questions, with answers that somebody recorded: all right but the first 30."""
    rows = range(N)
    columns: dict[str, list[str]] = {
        "input": [f"{n}+{n}?" for n in rows],
        "expected": [str(2 * n) for n in rows],
        "level": ["hard" if n < 60 else "easy" for n in rows],
        "recorded": ["?" if n < 30 else str(2 * n) for n in rows],
    }
    texts = {name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in columns.items()}
    made = sample_table(
        input=texts["input"],
        expected=texts["expected"],
        metadata={"level": texts["level"], "recorded": texts["recorded"]},
    )
    split = SAMPLE_SCHEMA.get_field_index("split")
    made = made.set_column(split, SAMPLE_SCHEMA.field(split), pa.array(["test"] * N, pa.string()))
    dataset_store().publish("sums", made)


@pytest.fixture
def endpoint(chat_endpoint: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An endpoint that answers every sum right."""
    started = chat_endpoint(delay=0.0)
    started.answer({f"{n}+{n}?": str(2 * n) for n in range(N)})
    monkeypatch.setenv("OPENAI_BASE_URL", started.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return started


def test_asked_once_compared_with_recorded_answers_and_with_the_run_before(
    prefect_server: str, sums: None, endpoint: Any, tmp_path: Path
) -> None:
    endpoint.fail({"kind": "429", "retry_after": 0.05}, {"kind": "500"}, {"kind": "broken_json"}, {"kind": "cut"})
    sliced = EvaluationConfig(slices=("level",))
    first = evaluate(
        "sums", "openai/toy", metrics=["exact_match"], baseline=["replay:recorded"], evaluation=sliced, gate=GATE
    )
    asked = endpoint.seen()
    assert asked["total"] == N + 4  # each of the four failures was sent again, and nothing else
    assert set(asked["asked"]) == {f"{n}+{n}?" for n in range(N)}
    assert first.asking is not None
    assert (first.asking.answered, first.asking.retried, first.asking.failed) == (N, 4, {})
    assert first.asking.failures == {"rate_limited": 1, "server": 1, "malformed": 1, "connection": 1}
    assert first.asking.cost is None  # nobody knows the price of toy
    assert first.metrics["exact_match"].value == 1.0
    assert first.baseline["exact_match"].value == 0.75
    assert (first.verdict, first.exit_status) == ("better", 0)
    [against] = first.comparisons
    assert against.changes is not None
    assert (against.changes.regressed, against.changes.fixed) == (0, 30)
    assert against.changes.fixes[0].before == "?"
    # Both answer all of the 60 easy ones right, which cannot exclude a loss of 5 points.
    assert {part.value: part.verdict for part in against.slices} == {"hard": "better", "easy": "inconclusive"}
    leaves_a_record(first.run_id, tmp_path)

    again = evaluate("sums", "openai/toy", metrics=["exact_match"], baseline=["last", f"run:{first.run_id}"], gate=GATE)
    assert endpoint.seen()["total"] == N + 4  # nothing is asked twice, across runs too
    assert again.asking is not None
    assert again.asking.reused == N
    assert [one.comparison.verdict for one in again.comparisons] == ["not worse", "not worse"]

    endpoint.answer({f"{n}+{n}?": "no idea" for n in range(40)})
    fresh = EvaluationConfig(fresh=True)
    worse = evaluate("sums", "openai/toy", metrics=["exact_match"], baseline=["last"], evaluation=fresh, gate=GATE)
    assert endpoint.seen()["total"] == 2 * N + 4
    assert (worse.verdict, worse.exit_status) == ("worse", 1)
    assert worse.comparisons[0].changes is not None
    assert worse.comparisons[0].changes.regressed == 40
    assert worse.comparisons[0].changes.regressions[0].after == "no idea"


def leaves_a_record(run_id: str, folder: Path) -> None:
    client = MlflowClient()
    metrics = client.get_run(run_id).data.metrics
    assert metrics["exact_match"] == 1.0
    assert metrics["exact_match.low"] < 1.0
    assert metrics["asking.answered"] == N
    files = {file.path for file in client.list_artifacts(run_id)}
    assert {"samples.parquet", "statistics.parquet", "report.html", "differences.png", "slices.png"} <= files
    samples = pq.read_table(client.download_artifacts(run_id, "samples.parquet", str(folder)))
    assert len(samples) == N
    assert set(samples["exact_match"].to_pylist()) == {1.0}


def test_a_prompt_repeats_a_budget_and_an_endpoint_that_hangs(prefect_server: str, sums: None, endpoint: Any) -> None:
    mlflow.genai.register_prompt(
        "adder", [{"role": "system", "content": "Add."}, {"role": "user", "content": "{{input}}"}]
    )
    endpoint.fail({"kind": "hang"})
    # 2 words in and 1 out: 0.0000009 dollars an answer, so that a third of the 360 can be paid.
    config = EvaluationConfig(repeats=3, budget=Budget(max_cost=120 * 0.9e-6), client=ClientConfig(timeout_s=2))
    found = evaluate(
        "sums", "openai/gpt-4o-mini", "prompts:/adder/1", ["exact_match"], concurrency=8, evaluation=config
    )
    asked = endpoint.seen()
    assert all([one["role"] for one in body["messages"]] == ["system", "user"] for body in asked["bodies"])
    assert asked["most_in_flight"] <= 8
    assert found.prompt == "prompts:/adder/1"
    asking = found.asking
    assert asking is not None
    assert asking.failures == {"timeout": 1}
    assert asked["total"] == asking.answered + 1
    assert 110 <= asking.answered <= 130
    assert asking.cost == pytest.approx((asking.input_tokens * 0.15 + asking.output_tokens * 0.6) / 1e6)
    assert asking.answered + asking.unasked == 3 * N
    assert any("partial result" in note for note in found.notes)
    rest = evaluate(
        "sums", "openai/gpt-4o-mini", "prompts:/adder/1", ["exact_match"], evaluation=EvaluationConfig(repeats=3)
    )
    assert endpoint.seen()["total"] == 3 * N + 1
    assert rest.metrics["exact_match.pass^3"].value == 1.0
    assert rest.metrics["exact_match.flaky"].value == 0.0
    gate = GateConfig(margins={"exact_match.pass^3": 0.05})
    again = EvaluationConfig(repeats=3)
    gated = evaluate(
        "sums", "openai/gpt-4o-mini", "prompts:/adder/1", ["exact_match"], ["last"], evaluation=again, gate=gate
    )
    assert gated.verdicts == {"exact_match.pass^3": "not worse"}


def test_judges_of_answers_and_of_pairs(prefect_server: str, sums: None, endpoint: Any) -> None:
    # One passes whatever it is shown; the other prefers what it reads first, which is no preference.
    endpoint.answer_as({"kind": 'Fine.\n{"verdict": "pass"}', "hasty": 'The first.\n{"verdict": "first"}'})
    judges = {
        "numeric": JudgeConfig(kind="pass_fail", models=("openai/kind",), instructions="Is it a number?"),
        "preferred": JudgeConfig(kind="pairwise", models=("openai/hasty",), instructions="Which is right?"),
    }
    names = ["exact_match", "numeric", "preferred"]
    asked = EvaluationConfig(judges=judges)
    found = evaluate("sums", "openai/toy", metrics=names, baseline=["replay:recorded"], evaluation=asked)
    total = endpoint.seen()["total"]
    assert (found.metrics["numeric"].value, found.judges["numeric"].verdicts) == (1.0, N)
    assert found.baseline["numeric"].value == 1.0
    [preference] = found.comparisons[0].preferences
    assert (preference.win, preference.lose, preference.tie, preference.missing) == (0, 0, N, 0)
    assert preference.win_rate.value == 0.5
    evaluate("sums", "openai/toy", metrics=names, baseline=["replay:recorded"], evaluation=asked)
    assert endpoint.seen()["total"] == total  # verdicts are not paid twice either


def test_what_cannot_be_done_is_said_before_anything_is_asked(prefect_server: str, sums: None, endpoint: Any) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"metrics": ["no_such"]}, "no metric is called 'no_such'"),
        ({"metrics": ["bleu"], "gate": GATE}, "gate: exact_match is not measured of openai/toy"),
        ({"baseline": ["run:nothing"]}, "there is no MLflow run 'nothing'"),
        ({"baseline": ["replay:nothing"]}, "nothing"),
        ({"prompt": "prompts:/nothing/1"}, "prompts:/nothing/1 is not in the MLflow registry"),
        ({"evaluation": EvaluationConfig(slices=("colour",))}, "no question has the metadata 'colour'"),
        ({"evaluation": EvaluationConfig(budget=Budget(max_cost=1.0))}, "the price of openai/toy is not known"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"metrics": ["exact_match"], "gate": GateConfig(margins={"cost": 1.0})}, "gate: cost is not measured of"),
        (
            {"baseline": ["replay:recorded"], "gate": GateConfig(margins={"latency": 1.0})},
            "gate: latency is not measured of replay:recorded",
        ),
        ({"gate": GateConfig(margins={"exact_match.pass@5": 0.1})}, "with evaluation.repeats 1 there are"),
        ({"evaluation": EvaluationConfig(judges={"odd": ODD})}, "opnai/judge"),
    ]
    for arguments, said in wrong:
        with pytest.raises(InputError, match=said):
            evaluate("sums", "openai/toy", **arguments)
    assert endpoint.seen()["total"] == 0


def test_a_question_that_always_breaks_the_endpoint_is_left_out(prefect_server: str, sums: None, endpoint: Any) -> None:
    endpoint.fail({"kind": "500", "times": 10_000, "match": "7+7?"})
    stubborn = EvaluationConfig(client=ClientConfig(max_attempts=2))
    found = evaluate("sums", "openai/toy", metrics=["exact_match"], evaluation=stubborn)
    assert found.asking is not None
    assert found.asking.failed == {"server": 1}
    assert (found.metrics["exact_match"].value, found.metrics["exact_match"].n) == (1.0, N - 1)
    assert endpoint.seen()["asked"]["7+7?"] == 2
    assert any("requests failed" in note for note in found.notes)


def test_a_key_that_is_refused_ends_the_run_at_once(prefect_server: str, sums: None, endpoint: Any) -> None:
    endpoint.fail({"kind": "401", "times": 10_000})
    with pytest.raises(ServiceError, match="check the key"):
        evaluate("sums", "openai/toy", metrics=["exact_match"])
    assert endpoint.seen()["total"] < N
