from llmops.evaluation.answers.budget import Budget, Spending
from llmops.llm.completions import Completion


def _answer(cost: float | None = 0.01, tokens: int | None = 5) -> Completion:
    return Completion("x", "m", tokens, tokens, cost, 0.1, "stop")


def test_spending_adds_up() -> None:
    spent = Spending()
    spent.add(_answer(0.5, 3))
    spent.add(_answer(0.25, None))
    spent.fail("timeout")
    other = Spending()
    other.add(_answer(1.0, 4))
    other.fail("timeout")
    spent.merge(other)
    assert (spent.answered, spent.cost, spent.input_tokens, spent.output_tokens) == (3, 1.75, 7, 7)
    assert spent.failed == {"timeout": 2}


def test_one_unknown_cost_makes_the_sum_unknown() -> None:
    spent = Spending()
    for cost in (0.5, None, 0.5):
        spent.add(_answer(cost))
    assert spent.cost is None


def test_each_limit_stops_with_its_sentence() -> None:
    money, tokens, time = (
        Spending(Budget(max_cost=0.02)),
        Spending(Budget(max_tokens=20)),
        Spending(Budget(max_seconds=0)),
    )
    assert money.exhausted is None and tokens.exhausted is None
    assert time.exhausted == "the 0 seconds it may take are over"
    for _ in range(2):
        money.add(_answer())
        tokens.add(_answer())
    assert money.exhausted == "the budget of $0.02 is spent ($0.0200)"
    assert tokens.exhausted == "the budget of 20 tokens is spent (20)"


def test_a_budget_of_money_ends_with_the_first_answer_of_unknown_cost() -> None:
    spent = Spending(Budget(max_cost=100))
    spent.add(_answer(None))
    assert spent.exhausted is not None and "not known" in spent.exhausted


def test_what_is_in_flight_is_counted_at_the_mean_so_far() -> None:
    spent = Spending(Budget(max_cost=0.10), in_flight=8)
    spent.add(_answer())
    spent.add(_answer())  # 0.02 spent, 0.08 promised
    assert spent.promised
    spent.in_flight = 7
    assert not spent.promised


def test_a_few_are_sent_until_somebody_knows_what_an_answer_costs() -> None:
    for budget in (Budget(max_cost=1000), Budget(max_tokens=1000)):
        spent = Spending(budget, in_flight=3)
        assert not spent.promised
        spent.in_flight = 4
        assert spent.promised
        spent.add(_answer())
        assert not spent.promised
    # Neither time nor no budget at all can be overshot so.
    assert not Spending(Budget(max_seconds=1), in_flight=100).promised
    assert not Spending(in_flight=100).promised
