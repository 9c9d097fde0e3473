import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from deltalake import DeltaTable

from llmops.errors import InputError, ServiceError
from llmops.evaluation.answers import AnswerStore, Budget, Collected, EndpointSource, batch_workers, collection
from llmops.evaluation.answers import asking as asking_module
from llmops.evaluation.answers.asking import EVENT_LOOP
from llmops.evaluation.answers.batch_workers import answer_batches
from llmops.evaluation.answers.fan_out import Progress
from llmops.evaluation.questions import Questions
from llmops.llm.completions import Parameters

Run = Callable[..., Collected]
Make = Callable[..., Questions]
Source = Callable[..., EndpointSource]
INPUTS = [f"Question {n:03}" for n in range(35)]


def _rows(collected: Collected) -> list[dict[str, Any]]:
    return [row for table in collected.tables() for row in table.to_pylist()]


def _asked(endpoint: Any) -> Mapping[str, int]:
    asked: Mapping[str, int] = endpoint.seen()["asked"]
    return asked


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's price: a tenth of a dollar a token."""
    from llmops.llm.catalogue import CatalogueEntry
    from llmops.llm.client import ClientConfig, ModelClient
    from llmops.llm.providers import connect

    entry = CatalogueEntry(name="openai/test-model", input_price=100_000, output_price=100_000)

    def open_priced(name: str, config: ClientConfig) -> ModelClient:
        return ModelClient(connect(name), config, entry)

    monkeypatch.setattr(collection, "open_client", open_priced)
    monkeypatch.setattr(batch_workers, "open_client", open_priced)


def test_every_question_is_asked_once_and_what_is_known_never_again(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore
) -> None:
    endpoint = chat_endpoint()
    asked = source(endpoint)
    with run(asked, make_questions(INPUTS)) as first:
        rows = _rows(first)
        assert [row["question"] for row in rows] == list(range(35))
        assert [row["text"] for row in rows] == [f"You said: {text}" for text in INPUTS]
        assert [row["question_id"] for row in rows] == [f"id-{n}" for n in range(35)]
        assert {(row["input_tokens"], row["output_tokens"], row["finish_reason"]) for row in rows} == {(2, 4, "stop")}
        assert {(row["cost"], row["error_kind"], row["run_id"]) for row in rows} == {(None, None, "run")}
        assert all(0 < row["latency_s"] < 10 for row in rows)
        assert len(first.batches) == 4
    report = first.report
    assert (report.answered, report.reused, report.failed, report.unasked, report.stopped) == (35, 0, {}, 0, None)
    assert (report.cost, report.input_tokens, report.output_tokens) == (None, 70, 140)
    assert report.client is not None and report.client.most_in_flight <= 8

    with run(asked, make_questions([*INPUTS[5:], "a new one"]), run_id="later") as second:
        rows = _rows(second)
        assert [row["text"] for row in rows] == [f"You said: {text}" for text in [*INPUTS[5:], "a new one"]]
        assert [row["run_id"] for row in rows] == ["run"] * 30 + ["later"]
        assert [row["question_id"] for row in rows] == [f"id-{n}" for n in range(31)]
    assert (second.report.answered, second.report.reused) == (1, 30)
    assert _asked(endpoint) == dict.fromkeys([*INPUTS, "a new one"], 1)
    assert list(store.journal.iterdir()) == [] and list(store.runs.iterdir()) == []
    assert DeltaTable(store.table).to_pyarrow_table().num_rows == 36


def test_repeats_parameters_and_messages_are_part_of_what_is_asked(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint()
    asked, questions = source(endpoint), make_questions(INPUTS[:7])
    with run(asked, questions, repeats=3, batch_size=6) as collected:
        places = [(row["question"], row["repeat"]) for row in _rows(collected)]
        assert places == [(n, repeat) for n in range(7) for repeat in range(3)]
    with run(asked, questions, repeats=4) as more:
        assert (more.report.answered, more.report.reused) == (7, 21)
    with run(asked, questions, parameters=Parameters(max_tokens=20, temperature=1)) as warmer:
        assert warmer.report.answered == 7
    prompt = [[{"role": "system", "content": "Short."}, {"role": "user", "content": text}] for text in INPUTS[:7]]
    with run(asked, questions, messages=prompt) as prompted:
        assert prompted.report.answered == 7
    assert _asked(endpoint) == dict.fromkeys(INPUTS[:7], 6)


def test_questions_with_the_same_messages_are_one_request(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint(delay=0.05)
    with run(source(endpoint), make_questions(["same", "b", *["same"] * 20])) as collected:
        rows = _rows(collected)
        assert [row["question_id"] for row in rows] == [f"id-{n}" for n in range(22)]
        assert {row["text"] for row in rows} == {"You said: same", "You said: b"}
    assert _asked(endpoint) == {"same": 1, "b": 1}
    assert (collected.report.answered, collected.report.reused, collected.report.unasked) == (2, 20, 0)


def test_fresh_asks_again_and_the_new_answers_win(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint()
    asked, questions = source(endpoint), make_questions(["a", "b"])
    run(asked, questions).close()
    endpoint.answer({"a": "changed"})
    with run(asked, questions, fresh=True) as fresh:
        assert [row["text"] for row in _rows(fresh)] == ["changed", "You said: b"]
    with run(asked, questions) as after:
        assert [row["text"] for row in _rows(after)] == ["changed", "You said: b"]
    assert _asked(endpoint) == {"a": 2, "b": 2}


def test_a_request_that_fails_is_reported_and_asked_again_by_the_next_run(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore
) -> None:
    endpoint = chat_endpoint()
    endpoint.fail({"kind": "400", "match": "Question 003"}, {"kind": "422", "match": "Question 020"})
    asked, questions = source(endpoint), make_questions(INPUTS)
    with run(asked, questions) as collected:
        rows = _rows(collected)
    failed = {row["question"]: row for row in rows if row["text"] is None}
    assert set(failed) == {3, 20} and len(rows) == 35
    assert failed[3]["error_kind"] == "rejected" and "told to answer 400" in failed[3]["error"]
    assert all((row["text"] is None) == (row["error_kind"] is not None) for row in rows)
    assert (collected.report.answered, collected.report.failed) == (33, {"rejected": 2})
    assert DeltaTable(store.table).to_pyarrow_table()["text"].null_count == 0
    with run(asked, questions) as again:
        assert (again.report.answered, again.report.reused, again.report.failed) == (2, 33, {})


def test_a_refused_key_stops_the_run_and_keeps_what_there_is(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore
) -> None:
    endpoint = chat_endpoint(delay=0.01)
    endpoint.fail({"kind": "401", "match": "Question 012", "times": 100})
    asked, questions = source(endpoint, concurrency=1), make_questions(INPUTS)
    with pytest.raises(ServiceError, match=r"check the key.* 12 of 35 answers are saved; the same command goes on"):
        run(asked, questions, batch_size=50)
    assert list(store.runs.iterdir()) == []
    endpoint.fail()
    with run(asked, questions) as collected:
        assert (collected.report.answered, collected.report.reused) == (23, 12)
    assert sum(_asked(endpoint).values()) == 36


def test_an_endpoint_that_is_gone_ends_the_run(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint()
    endpoint.fail({"kind": "500", "times": 10_000})
    asked = source(endpoint, patience_s=0.5, max_attempts=1000)
    with pytest.raises(ServiceError, match=r"0 of 35 answers are saved"):
        run(asked, make_questions(INPUTS))


@pytest.mark.usefixtures("priced")
@pytest.mark.parametrize(
    ("budget", "words"),
    [
        # An answer has 6 tokens and costs $0.60: with one request at a time the 4th and the 5th reach the limits.
        (Budget(max_cost=2.0), r"the budget of \$2 is spent \(\$2.4000\); 31 of 35 requests were not asked"),
        (Budget(max_tokens=30), r"the budget of 30 tokens is spent \(30\); 30 of 35 requests were not asked"),
    ],
)
def test_a_budget_ends_the_run_with_what_there_is(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, budget: Budget, words: str
) -> None:
    endpoint = chat_endpoint()
    asked, questions = source(endpoint, concurrency=1), make_questions(INPUTS)
    with run(asked, questions, budget=budget, batch_size=50) as collected:
        assert collected.report.stopped is not None
        assert re.search(words, collected.report.stopped)
        number = collected.report.answered
        assert [row["question"] for row in _rows(collected)] == list(range(number))
        assert collected.report.cost == pytest.approx(0.6 * number)
        assert collected.report.unasked == 35 - number
    assert sum(_asked(endpoint).values()) == number
    with run(asked, questions) as rest:
        assert (rest.report.answered, rest.report.reused, rest.report.stopped) == (35 - number, number, None)


@pytest.mark.usefixtures("priced")
def test_many_in_flight_do_not_overshoot_once_a_price_is_known(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint(delay=0.01)
    # The first four go out before anybody knows what one costs; from then on no more than the budget pays for.
    with run(source(endpoint), make_questions(INPUTS), budget=Budget(max_cost=11.9)) as collected:
        assert collected.report.cost == pytest.approx(12.0) and collected.report.answered == 20


@pytest.mark.usefixtures("priced")
def test_a_small_budget_is_overshot_by_the_first_few_and_the_sentence_counts_them(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint(delay=0.2)
    asked = source(endpoint, concurrency=32)
    # The first answer of 6 tokens is more than the budget; three more are under way by then.
    with run(asked, make_questions(INPUTS), budget=Budget(max_tokens=5)) as collected:
        assert sum(_asked(endpoint).values()) == collected.report.answered == 4
        assert collected.report.stopped is not None
        assert "the budget of 5 tokens is spent (24); 31 of 35" in collected.report.stopped


def test_a_budget_of_time(run: Run, make_questions: Make, source: Source, chat_endpoint: Any) -> None:
    endpoint = chat_endpoint(delay=0.2)
    with run(source(endpoint), make_questions(INPUTS), budget=Budget(max_seconds=0.3)) as collected:
        assert 0 < collected.report.answered < 35
        assert collected.report.stopped is not None and "0.3 seconds" in collected.report.stopped
        assert sum(_asked(endpoint).values()) == collected.report.answered


def test_money_cannot_be_limited_where_no_price_is_known(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore
) -> None:
    endpoint = chat_endpoint()
    with pytest.raises(InputError, match="price of openai/test-model is not known"):
        run(source(endpoint), make_questions(["a"]), budget=Budget(max_cost=1))
    assert _asked(endpoint) == {} and list(store.runs.iterdir()) == []


def test_two_runs_over_the_same_questions_pay_once(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint(delay=0.05)
    asked = source(endpoint)
    said: list[str] = []

    def collect_one(start: int) -> Collected:
        mine = make_questions(INPUTS[start : start + 25])
        return run(asked, mine, tell=lambda progress: said.append(progress.waiting))

    with ThreadPoolExecutor() as pool:
        both = list(pool.map(collect_one, (0, 10)))  # 15 questions in common
    for start, collected in zip((0, 10), both, strict=True):
        with collected:
            assert [row["text"] for row in _rows(collected)] == [
                f"You said: {one}" for one in INPUTS[start : start + 25]
            ]
    assert _asked(endpoint) == dict.fromkeys(INPUTS, 1)
    assert any("another command is asking the same questions" in words for words in said)
    assert sorted(one.report.reused for one in both) == [0, 15]


def test_different_questions_to_one_model_do_not_wait(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any
) -> None:
    endpoint = chat_endpoint()
    asked = source(endpoint)
    endpoint.fail({"kind": "slow", "after_s": 3, "match": "slow"})
    waited: list[str] = []
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(run, asked, make_questions(["slow"]))
        while "slow" not in _asked(endpoint):
            time.sleep(0.01)
        run(asked, make_questions(["fast"]), tell=lambda progress: waited.append(progress.waiting)).close()
        assert not slow.done() and not any(waited)
        slow.result().close()


def test_an_interruption_keeps_what_is_answered_and_ends_soon(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore, monkeypatch: Any
) -> None:
    monkeypatch.setattr(asking_module, "GRACE_S", 0.3)
    endpoint = chat_endpoint()
    endpoint.fail({"kind": "hang", "match": "Question 011"})
    asked, questions = source(endpoint, timeout_s=60), make_questions(INPUTS[:12])

    def interrupt(progress: Progress) -> None:
        if progress.done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked, questions, tell=interrupt)
    assert list(store.runs.iterdir()) == [] and list(store.journal.iterdir()) == []
    assert batch_workers._workers == {}
    with run(asked, questions) as collected:
        assert (collected.report.answered, collected.report.reused) == (1, 11)


def test_a_full_disk_ends_the_run(
    run: Run, make_questions: Make, source: Source, chat_endpoint: Any, monkeypatch: Any
) -> None:
    def full(self: Any, record: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmops.evaluation.answers.journal.Segment.append", full)
    with pytest.raises(ServiceError, match="No space left"):
        run(source(chat_endpoint()), make_questions(INPUTS))


def test_a_task_that_starts_after_its_run_has_ended_asks_nothing(
    make_questions: Make, source: Source, chat_endpoint: Any, store: AnswerStore
) -> None:
    endpoint = chat_endpoint()
    late: list[Any] = []

    def submit(plan: Any, numbers: range) -> Any:
        late.append((plan, numbers))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.collect(store, source(endpoint), make_questions(["a"]), None, Parameters(), submit)
    outcome = answer_batches(*late[0])
    assert outcome.spending.answered == 0 and outcome.stopped == "the run has ended"
    assert _asked(endpoint) == {}


def test_all_runs_of_a_process_share_one_event_loop() -> None:
    with EVENT_LOOP as one, EVENT_LOOP as other:
        assert one is other
