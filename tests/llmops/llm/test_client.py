"""The client: nothing lost, nothing sent twice without need, and a report that says what happened."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from llmops.llm.catalogue import CatalogueEntry
from llmops.llm.client import ClientConfig, ModelClient, open_client
from llmops.llm.completions import Completion, Message, Parameters
from llmops.llm.failures import FailureKind, ModelError

Run = Callable[[Any], Any]
Behaviour = Callable[[str, int], Awaitable[None] | None]
PARAMETERS = Parameters()


class ScriptedModel:
    """Answers every question with itself after a second, unless its behaviour (question, time asked) raises.

    Attributes:
        sent: (second, question) of each request.
    """

    def __init__(self, behaviour: Behaviour = lambda question, time: None, endpoint: str = "http://scripted") -> None:
        self.name = "openai/scripted"
        self.endpoint = endpoint
        self.sent: list[tuple[float, str]] = []
        self._behaviour = behaviour
        self._asked: Counter[str] = Counter()

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        question = messages[-1]["content"]
        self.sent.append((asyncio.get_running_loop().time(), question))
        self._asked[question] += 1
        await asyncio.sleep(1.0)
        special = self._behaviour(question, self._asked[question])
        if special is not None:
            await special
        return Completion(question.upper(), "scripted-2026", 10, 5, None, 1.0, "stop")

    async def close(self) -> None:
        pass


def failing(kind: FailureKind, times: int = 10**9, retry_after_s: float | None = None, match: str = "") -> Behaviour:
    """Fails the first requests of each question that contains the text."""

    def behave(question: str, time: int) -> None:
        if match in question and time <= times:
            raise ModelError(kind, "as told", retry_after_s)

    return behave


async def ask(client: ModelClient, questions: Sequence[str]) -> list[Completion | ModelError]:
    """The answers, or the errors in their place."""
    asked = (client.complete([{"role": "user", "content": question}], PARAMETERS) for question in questions)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, Completion | ModelError) for one in outcomes), outcomes
    return [one for one in outcomes if isinstance(one, Completion | ModelError)]


def client_of(model: ScriptedModel, entry: CatalogueEntry | None = None, **config: Any) -> ModelClient:
    return ModelClient(model, ClientConfig(**config), entry)


def test_a_transient_failure_is_tried_again_and_told(run_virtually: Run) -> None:
    client = client_of(model := ScriptedModel(failing("server", times=2, match="b")))
    answers = run_virtually(ask(client, ["a", "b", "c"]))
    assert [answer.text for answer in answers] == ["A", "B", "C"]
    assert [answer.attempts for answer in answers] == [1, 3, 1]
    report = client.report()
    assert (report.requests, report.answered, report.retried, report.failures) == (5, 3, 2, {"server": 2})
    assert (report.most_in_flight, report.waited_s, report.breaker_opened) == (3, 0, 0)
    assert len(model.sent) == 5


def test_what_will_never_be_answered_is_not_asked_again(run_virtually: Run) -> None:
    client = client_of(model := ScriptedModel(failing("rejected", match="b")))
    answers = run_virtually(ask(client, ["a", "b"]))
    assert isinstance(answers[1], ModelError)
    assert (answers[1].kind, answers[1].attempts) == ("rejected", 1)
    assert len(model.sent) == 2


def test_a_request_that_always_fails_is_given_up_and_the_rest_go_on(run_virtually: Run) -> None:
    questions = [f"q{number}" for number in range(100)]
    for kind in ("server", "malformed", "connection"):
        client = client_of(model := ScriptedModel(failing(kind, match="q77")), concurrency=4, max_attempts=3)
        answers = run_virtually(ask(client, questions))
        lost = [answer for answer in answers if isinstance(answer, ModelError)]
        assert [(error.kind, error.attempts) for error in lost] == [(kind, 3)]
        assert len(model.sent) == 102


def test_the_last_question_that_crashes_its_server_is_not_asked_until_patience_is_over(run_virtually: Run) -> None:
    """One request alone opens the breaker, but it is no proof that the endpoint is down for others."""
    client = client_of(ScriptedModel(failing("server")), max_attempts=8, patience_s=1e9)
    (error,) = run_virtually(ask(client, ["poison"]))
    assert error.attempts == 8


def test_a_slot_is_free_while_a_request_waits_to_be_tried_again(run_virtually: Run) -> None:
    client = client_of(model := ScriptedModel(failing("server", times=1, match="a")), concurrency=1)
    run_virtually(ask(client, ["a", "b"]))
    assert [question for _, question in model.sent] == ["a", "b", "a"]


def test_nobody_sends_before_retry_after_is_over(run_virtually: Run) -> None:
    client = client_of(model := ScriptedModel(failing("rate_limited", 1, 30.0, match="q3")), concurrency=5)
    answers = run_virtually(ask(client, [f"q{number}" for number in range(20)]))
    assert all(isinstance(answer, Completion) for answer in answers)
    assert Counter(second for second, _ in model.sent if second < 31) == {0: 5}
    assert client.report().waited_s == 30.0
    assert client.report().failures == {"rate_limited": 1}


def test_a_rate_limit_does_not_use_up_the_attempts_of_a_request(run_virtually: Run) -> None:
    client = client_of(ScriptedModel(failing("rate_limited", 12, 5.0, match="b")), max_attempts=3)
    answer = run_virtually(ask(client, ["a", "b"]))[1]
    assert isinstance(answer, Completion)
    assert answer.attempts == 13


def test_a_request_that_is_too_much_for_the_limit_is_given_up_when_patience_is_over(run_virtually: Run) -> None:
    def behave(question: str, time: int) -> None:
        if question == "huge":
            raise ModelError("rate_limited", "too many tokens", 20.0)

    async def work() -> tuple[ModelError, float]:
        client = client_of(ScriptedModel(behave), patience_s=100)

        async def others() -> None:
            while True:
                await ask(client, ["small"])

        background = asyncio.create_task(others())
        (error,) = await ask(client, ["huge"])
        background.cancel()
        return error, asyncio.get_running_loop().time()

    error, seconds = run_virtually(work())
    assert (error.kind, error.attempts) == ("rate_limited", 6)
    assert 100 <= seconds < 160


def test_an_endpoint_that_refuses_everything_is_given_up_when_patience_is_over(run_virtually: Run) -> None:
    async def work() -> tuple[list[Completion | ModelError], float]:
        answers = await ask(client, [f"q{number}" for number in range(500)])
        return answers, asyncio.get_running_loop().time()

    client = client_of(model := ScriptedModel(failing("rate_limited")), patience_s=120)
    answers, seconds = run_virtually(work())
    assert {answer.kind for answer in answers} == {"rate_limited"}
    assert 120 <= seconds < 240
    assert len(model.sent) < 500


@pytest.mark.parametrize("kind", ["unauthorized", "not_found", "quota"])
def test_after_a_fatal_failure_nothing_more_is_sent(kind: FailureKind, run_virtually: Run) -> None:
    client = client_of(model := ScriptedModel(failing(kind)), concurrency=4)
    answers = run_virtually(ask(client, [f"q{number}" for number in range(100)]))
    assert {answer.kind for answer in answers} == {kind}
    assert {answer.message for answer in answers} == {"as told"}
    assert len(model.sent) == 4
    assert Counter(answer.attempts for answer in answers) == {1: 4, 0: 96}


def test_a_request_without_an_answer_ends_at_the_timeout(run_virtually: Run) -> None:
    def hang(question: str, time: int) -> Awaitable[None] | None:
        return asyncio.sleep(3600) if time == 1 else None

    client = client_of(model := ScriptedModel(hang), timeout_s=9)
    (answer,) = run_virtually(ask(client, ["q"]))
    assert answer.attempts == 2
    assert client.report().failures == {"timeout": 1}
    assert 9 <= model.sent[1][0] <= 9.5


@pytest.mark.parametrize(("questions", "concurrency"), [(2, 2), (200, 8)])
def test_an_outage_is_waited_for_and_nothing_is_lost(questions: int, concurrency: int, run_virtually: Run) -> None:
    """Four minutes. Two questions alone are probes more often than they may fail by their own doing."""

    async def work() -> list[Completion | ModelError]:
        loop = asyncio.get_running_loop()

        def behave(question: str, time: int) -> None:
            if loop.time() < 240:
                raise ModelError("connection", "refused")

        model._behaviour = behave
        return await ask(client, [f"q{number}" for number in range(questions)])

    client = client_of(model := ScriptedModel(), concurrency=concurrency)
    answers = run_virtually(work())
    assert all(isinstance(answer, Completion) for answer in answers)
    assert max(answer.attempts for answer in answers) > (6 if questions == 2 else 1)
    report = client.report()
    assert report.breaker_opened == 1
    assert report.requests == len(model.sent) == questions + report.failures["connection"]
    # What was under way, what was sent before the fifth failure, and probes: after 1, 2, 4, 8, 16, 30, 30, … s.
    assert report.failures["connection"] <= 2 * concurrency + 5 + 13


def test_an_endpoint_that_stays_down_is_given_up_with_a_word(run_virtually: Run) -> None:
    async def work() -> tuple[list[Completion | ModelError], float]:
        answers = await ask(client, [f"q{number}" for number in range(300)])
        return answers, asyncio.get_running_loop().time()

    client = client_of(model := ScriptedModel(failing("connection")), concurrency=8, patience_s=60)
    answers, seconds = run_virtually(work())
    assert {answer.kind for answer in answers} == {"connection"}
    words = Counter(answer.message for answer in answers)
    assert words["http://scripted has answered nothing for 60 s; the last answer: as told"] > 280
    assert 60 <= seconds < 70
    assert sum(answer.attempts for answer in answers) == len(model.sent) == client.report().requests < 40


def test_a_cancelled_call_leaves_its_slot_and_no_trace_of_failure(run_virtually: Run) -> None:
    async def work() -> list[Completion | ModelError]:
        calls = [asyncio.create_task(ask(client, [f"q{number}"])) for number in range(6)]
        await asyncio.sleep(0.5)
        for call in calls[:2] + calls[4:5]:  # two under way, one in line
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return await ask(client, ["x", "y"])

    client = client_of(model := ScriptedModel(), concurrency=2)
    answers = run_virtually(work())
    assert [answer.text for answer in answers] == ["X", "Y"]
    assert [question for _, question in model.sent] == ["q0", "q1", "q2", "q3", "q5", "x", "y"]
    assert model.sent[-1][0] == 2.5
    report = client.report()
    assert (report.requests, report.answered, report.failures) == (7, 5, {})


def test_an_error_in_a_provider_is_not_swallowed(run_virtually: Run) -> None:
    def behave(question: str, time: int) -> None:
        if question == "a":
            raise ZeroDivisionError

    async def work() -> list[Completion | ModelError]:
        with pytest.raises(ZeroDivisionError):
            await client.complete([{"role": "user", "content": "a"}], PARAMETERS)
        return await ask(client, ["b"])

    client = client_of(ScriptedModel(behave), concurrency=1)
    assert run_virtually(work())[0].text == "B"


def test_two_clients_of_an_endpoint_share_its_limit_and_keep_their_own(run_virtually: Run) -> None:
    """One's Retry-After is the other's too; neither exceeds what it was allowed."""

    async def work() -> None:
        await asyncio.gather(ask(small, ["s1", "s2", "s3"]), ask(large, [f"l{number}" for number in range(9)]))

    small = client_of(one := ScriptedModel(failing("rate_limited", 1, 60.0, match="s1")), concurrency=1)
    large = client_of(other := ScriptedModel(), concurrency=4)
    run_virtually(work())
    assert small.report().most_in_flight == 1
    assert large.report().most_in_flight <= 4
    seconds = [second for second, _ in one.sent + other.sent]
    assert not [second for second in seconds if 1 < second < 61]
    assert max(seconds) >= 61
    assert small.report().waited_s == large.report().waited_s == 60


def test_a_client_works_in_one_loop_after_another(run_virtually: Run) -> None:
    client = client_of(ScriptedModel(failing("rate_limited", 1, 2.0)), concurrency=2)
    for _ in range(2):
        answers = run_virtually(ask(client, ["a", "b", "c"]))
        assert [answer.text for answer in answers] == ["A", "B", "C"]
    report = client.report()
    assert (report.answered, report.failures) == (6, {"rate_limited": 3})
    assert report.waited_s == client_waited_in_first_loop(run_virtually)


def client_waited_in_first_loop(run_virtually: Run) -> float:
    client = client_of(ScriptedModel(failing("rate_limited", 1, 2.0)), concurrency=2)
    run_virtually(ask(client, ["a", "b", "c"]))
    return client.report().waited_s


@pytest.mark.parametrize(
    ("entry", "spent"),
    [
        (CatalogueEntry(name="openai/scripted", input_price=1.0, output_price=4.0), 30e-6),
        (CatalogueEntry(name="openai/scripted", input_price=1.0), None),
        (None, None),
    ],
)
def test_the_cost_is_filled_in_where_it_is_known(
    entry: CatalogueEntry | None, spent: float | None, run_virtually: Run
) -> None:
    (answer,) = run_virtually(ask(client_of(ScriptedModel(), entry), ["q"]))
    assert answer.cost == (None if spent is None else pytest.approx(spent))


# Over HTTP, through the SDK.


@pytest.fixture
def real(chat_endpoint: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Callable[..., ModelClient]]:
    """An endpoint and what opens a client of it."""
    pytest.importorskip("openai")
    endpoint = chat_endpoint(delay=0.01)
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def opened(name: str = "openai/gpt-5-mini", **config: Any) -> ModelClient:
        return open_client(name, ClientConfig(**config))

    return endpoint, opened


def ask_and_close(client: ModelClient, questions: Sequence[str]) -> list[Completion | ModelError]:
    async def work() -> list[Completion | ModelError]:
        try:
            return await ask(client, questions)
        finally:
            await client.close()

    return asyncio.run(work())


def test_every_kind_of_failure_at_once_and_nothing_is_lost_or_counted_twice(
    real: tuple[Any, Callable[..., ModelClient]],
) -> None:
    endpoint, opened = real
    faults: list[dict[str, Any]] = [
        {"kind": "429", "retry_after": 1, "times": 3, "match": "q1"},
        {"kind": "500", "times": 2, "match": "q2"},
        {"kind": "503", "times": 1, "match": "q3"},
        {"kind": "broken_json", "times": 2, "match": "q4"},
        {"kind": "hang", "times": 1, "match": "q5"},
        {"kind": "cut", "times": 2, "match": "q6"},
        {"kind": "reset", "times": 1, "match": "q7"},
        {"kind": "400", "times": 1, "match": "q8"},
    ]
    endpoint.fail(*faults)
    questions = [f"q{number}" for number in range(10, 100)]
    client = opened(concurrency=8, timeout_s=3.0)
    answers = ask_and_close(client, questions)

    lost = [answer for answer in answers if isinstance(answer, ModelError)]
    assert [error.kind for error in lost] == ["rejected"]
    right = [f"You said: {question}" for question in questions]
    assert sum(answer.text == said for answer, said in zip(answers, right, strict=True) if answer not in lost) == 89
    report = client.report()
    assert report.failures == {
        "rate_limited": 3,
        "server": 2,
        "overloaded": 1,
        "malformed": 2,
        "timeout": 1,
        "connection": 3,
        "rejected": 1,
    }
    assert (report.answered, report.requests, report.retried) == (89, 102, 12)
    assert 0.99 < report.waited_s < 3.01  # three rests of a second, which may overlap
    assert report.most_in_flight <= 8
    seen = endpoint.seen()
    assert seen["total"] == report.requests == sum(answer.attempts for answer in answers)
    # What hangs, is cut or reset may still be there when its slot is given on.
    assert seen["most_in_flight"] <= 8 + 4


def test_the_price_and_the_tokens_make_the_cost(real: tuple[Any, Callable[..., ModelClient]]) -> None:
    _, opened = real
    (answer,) = ask_and_close(opened("openai/gpt-4o-2024-08-06"), ["one two three"])
    # 3 words in at 2.50 and "You said: one two three", 5 words out at 10 US dollars a million.
    assert answer.cost == pytest.approx(57.5e-6)
    (unknown,) = ask_and_close(opened("openai/our-own-model"), ["one two three"])
    assert unknown.cost is None
    assert unknown.output_tokens == 5


def test_a_wrong_key_is_sent_once_per_slot(real: tuple[Any, Callable[..., ModelClient]]) -> None:
    endpoint, opened = real
    endpoint.fail({"kind": "401", "times": 1000})
    answers = ask_and_close(opened(concurrency=3), [f"q{number}" for number in range(100)])
    assert {answer.kind for answer in answers} == {"unauthorized"}
    assert endpoint.seen()["total"] == 3
