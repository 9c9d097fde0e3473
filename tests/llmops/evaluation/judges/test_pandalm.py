"""A panel of emulated judges on real pairs with three human votes each (PandaLM, Wang et al. 2023).

Each judge says what most people said, but errs, prefers what is shown first, rambles or stays silent as often as is
planted. What the panel should find is computed here once more, one pair at a time and in plain Python.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from llmops.evaluation.judges import Answers, JudgeConfig, JudgedPairs, calibrate, judge_pairs
from llmops.evaluation.metrics.metric import FloatArray
from llmops.llm.completions import Message, Parameters

DATA = Path(__file__).resolve().parents[4] / ".." / "shared" / "data" / "pandalm_judgements.parquet"
HUMAN = {0: 0.5, 1: 1.0, 2: 0.0}  # PandaLM's labels: 0 a tie, 1 and 2 the better response
PANEL = JudgeConfig(kind="pairwise", models=("careful", "hasty", "rambling"), instructions="Which follows its task?")
ERRORS = {"careful": 0.05, "hasty": 0.20, "rambling": 0.12}
FIRST_IS_BEST = {"careful": 0.0, "hasty": 0.10, "rambling": 0.03}
NO_VERDICT = {"careful": 0.0, "hasty": 0.01, "rambling": 0.08}

Plan = dict[str, list[tuple[str | None, str | None]]]
"""What each judge will say of each pair: shown in their order, and turned round."""


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    if not DATA.is_file():
        pytest.skip("public data file pandalm_judgements.parquet is not on this machine")
    return pd.read_parquet(DATA)


def human_votes(pairs: pd.DataFrame) -> FloatArray:
    return pairs[["annotator1", "annotator2", "annotator3"]].replace(HUMAN).to_numpy(float)


def planned(pairs: pd.DataFrame) -> Plan:
    random = np.random.default_rng(20)
    plan: Plan = {}
    for judge in PANEL.models:
        said = []
        for votes in human_votes(pairs).tolist():
            value, _ = Counter(votes).most_common(1)[0]  # all 999 pairs have a majority
            if random.random() < ERRORS[judge]:
                value = random.choice([other for other in (0.0, 0.5, 1.0) if other != value])
            orders: list[str | None] = [
                {1.0: "first", 0.5: "tie", 0.0: "second"}[value],
                {1.0: "second", 0.5: "tie", 0.0: "first"}[value],
            ]
            if random.random() < FIRST_IS_BEST[judge]:
                orders = ["first", "first"]
            if random.random() < NO_VERDICT[judge]:
                orders[int(random.integers(2))] = None
            said.append((orders[0], orders[1]))
        plan[judge] = said
    return plan


def asker(pairs: pd.DataFrame, plan: Plan) -> Callable[..., Sequence[str | None]]:
    """Judges that keep to the plan, each in a style of its own; the last one rambles at first and is asked again."""
    style = {"careful": 'Compared both. {{"verdict": "{}"}}', "hasty": "{}", "rambling": "**Verdict:** {}."}
    first_shown = pairs["response1"].tolist()

    def reply(model: str, prompt: Sequence[Message]) -> str | None:
        text = str(prompt[1]["content"])
        place = int(re.search(r"<<<QUESTION \w+>>>\nNo. (\d+):", text)[1])  # type: ignore[index]
        shown = re.search(r"<<<FIRST ANSWER (\w+)>>>\n(.*)\n<<<END FIRST ANSWER \1>>>", text, re.S)[2]  # type: ignore[index]
        said = plan[model][place][0 if shown == first_shown[place] else 1]
        if said is None or (model == "rambling" and place % 10 == 0 and len(prompt) == 2):
            return "There is much to be said for the first answer, and for the second."
        return style[model].format(said)

    return lambda model, prompts, parameters: [reply(model, prompt) for prompt in prompts]


def answers_of(pairs: pd.DataFrame, column: str) -> Answers:
    tasks = zip(pairs["instruction"], pairs["input"], strict=True)
    questions = [f"No. {number}: {instruction}\n{text}" for number, (instruction, text) in enumerate(tasks)]
    return Answers(pairs[column].tolist(), [], inputs=questions)


def votes_by_hand(plan: Plan) -> list[list[float | None]]:
    """A vote of each judge on each pair, from what it was planned to say in the two orders."""
    table: list[list[float | None]] = []
    for said in zip(*(plan[judge] for judge in PANEL.models), strict=True):
        row: list[float | None] = []
        for shown, turned in said:
            if shown is None or turned is None:
                row.append(None)
            elif (shown, turned) == ("first", "second"):
                row.append(1.0)
            elif (shown, turned) == ("second", "first"):
                row.append(0.0)
            else:
                row.append(0.5)
        table.append(row)
    return table


def consensus_by_hand(row: list[float | None]) -> float | None:
    counts = Counter(vote for vote in row if vote is not None).most_common()
    if sum(count for _, count in counts) < 2 or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def alpha_by_hand(table: list[list[float | None]], distance: Callable[[float, float, Counter[float]], float]) -> float:
    """Krippendorff's alpha, pair of votes by pair of votes."""
    coincidences: Counter[tuple[float, float]] = Counter()
    for row in table:
        votes = [vote for vote in row if vote is not None]
        for pair in permutations(votes, 2):
            coincidences[pair] += Fraction(1, len(votes) - 1)  # type: ignore[assignment]
    totals: Counter[float] = Counter()
    for (one, _), weight in coincidences.items():
        totals[one] += weight
    n = sum(totals.values())
    observed = sum(float(weight) * distance(*pair, totals) for pair, weight in coincidences.items()) / float(n)
    expected = sum(float(totals[a] * totals[b]) * distance(a, b, totals) for a in totals for b in totals)
    return 1 - observed / (expected / float(n * (n - 1)))


def nominal(one: float, two: float, totals: Counter[float]) -> float:
    return float(one != two)


def ordinal(one: float, two: float, totals: Counter[float]) -> float:
    between = [value for value in totals if min(one, two) <= value <= max(one, two)]
    return (float(sum(totals[value] for value in between)) - float(totals[one] + totals[two]) / 2) ** 2


def interval(one: float, two: float, totals: Counter[float]) -> float:
    return (one - two) ** 2


@pytest.fixture(scope="module")
def plan(pairs: pd.DataFrame) -> Plan:
    return planned(pairs)


@pytest.fixture(scope="module")
def judged(pairs: pd.DataFrame, plan: Plan) -> JudgedPairs:
    first, second = answers_of(pairs, "response1"), answers_of(pairs, "response2")
    return judge_pairs(PANEL, first, second, asker(pairs, plan))


def test_the_consensus_is_that_of_the_hand_computation(judged: JudgedPairs, plan: Plan) -> None:
    expected = [consensus_by_hand(row) for row in votes_by_hand(plan)]
    assert [None if np.isnan(value) else value for value in judged.values.tolist()] == expected
    counts = Counter(expected)
    assert (judged.win, judged.lose, judged.tie, judged.missing) == (
        counts[1.0],
        counts[0.0],
        counts[0.5],
        counts[None],
    )
    wins = [value for value in expected if value is not None]
    rate = judged.win_rate()
    assert rate.value == pytest.approx(sum(wins) / len(wins)) and rate.low < rate.value < rate.high


@pytest.mark.parametrize(("level", "distance"), [("nominal", nominal), ("ordinal", ordinal), ("interval", interval)])
def test_agreement_is_that_of_the_hand_computation(judged: JudgedPairs, plan: Plan, level: Any, distance: Any) -> None:
    assert judged.agreement is not None
    found = judged.agreement.alpha[level]
    assert round(found.value, 3) == round(alpha_by_hand(votes_by_hand(plan), distance), 3)
    assert found.low < found.value < found.high


def test_what_each_judge_did_is_what_was_planted(judged: JudgedPairs, plan: Plan) -> None:
    for report, flips in zip(judged.judges, judged.position_flips, strict=True):
        said = plan[report.model]
        assert report.malformed == sum(None in orders for orders in said)
        assert flips == sum(orders in (("first", "first"), ("second", "second")) for orders in said)
    assert judged.judges[2].reasked > 200  # every tenth pair in both orders, and what stayed malformed
    assert judged.judges[2].example == "There is much to be said for the first answer, and for the second."


def test_calibration_finds_the_planted_errors_and_the_panel_beats_its_judges(
    judged: JudgedPairs, pairs: pd.DataFrame
) -> None:
    found = calibrate(judged, human_votes(pairs))
    for judge in found.judges:
        # A verdict is right unless it errs or, on a pair that is no tie, takes whatever is shown first.
        ties = float(np.mean([Counter(votes).most_common(1)[0][0] == 0.5 for votes in human_votes(pairs).tolist()]))
        flips, errs = FIRST_IS_BEST[judge.judge], ERRORS[judge.judge]
        accuracy = (1 - flips) * (1 - errs) + flips * ties
        three_errors = 3 * np.sqrt(accuracy * (1 - accuracy) / judge.n)
        assert judge.accuracy is not None and judge.accuracy.value == pytest.approx(accuracy, abs=three_errors)
        assert judge.position_bias is not None and judge.position_bias.low <= flips <= judge.position_bias.high
    best = max(judge.accuracy.value for judge in found.judges if judge.accuracy)
    assert found.panel.accuracy is not None and found.panel.accuracy.value > best
    assert found.weights["careful"] > found.weights["rambling"] > found.weights["hasty"] > 0


def test_over_http_the_verdicts_are_the_same(
    pairs: pd.DataFrame, plan: Plan, chat_endpoint: Callable[..., Any]
) -> None:
    few = pairs.head(12)
    first, second = answers_of(few, "response1"), answers_of(few, "response2")
    panel = PANEL.model_copy(update={"models": ("careful",)})
    told: dict[str, str] = {}
    emulated = asker(pairs, plan)

    def remember(model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters) -> Sequence[str | None]:
        replies = emulated(model, prompts, parameters)
        told.update({str(prompt[-1]["content"]): str(reply) for prompt, reply in zip(prompts, replies, strict=True)})
        return replies

    expected = judge_pairs(panel, first, second, remember)
    endpoint = chat_endpoint()
    forgotten = next(iter(told))  # this one it repeats, as it does with all that it was not told an answer to
    endpoint.answer({question: answer for question, answer in told.items() if question != forgotten})

    def ask(model: str, prompts: Sequence[Sequence[Message]], parameters: Parameters) -> Sequence[str | None]:
        with httpx.Client(base_url=endpoint.base_url) as client:
            asked = [{"model": model, "messages": list(prompt)} for prompt in prompts]
            bodies = [client.post("/chat/completions", json=body).json() for body in asked]
        return [body["choices"][0]["message"]["content"] for body in bodies]

    judged = judge_pairs(panel, first, second, ask)
    assert np.isnan(judged.values[0]) and judged.judges[0].malformed == 1
    assert judged.values[1:].tolist() == expected.values[1:].tolist()
    seen = endpoint.seen()
    assert seen["total"] == 2 * 12 + 1
    assert PANEL.instructions in seen["bodies"][0]["messages"][0]["content"]
