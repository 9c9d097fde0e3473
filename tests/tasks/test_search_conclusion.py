"""What is said of a search that could not do all that it was to do."""

from llmops.tuning import Trial
from tasks.search_conclusion import left_under_way
from tasks.search_result import TrialResult


def test_a_trial_that_was_left_under_way_is_named_as_people_count() -> None:
    assert left_under_way([Trial(0, {}, state="finished")]) is None
    assert left_under_way([Trial(0, {}, state="open")]) == (
        "trial 1 was left under way and goes on with a larger budget"
    )
    several = [TrialResult(number=number, state="open", values={}) for number in (2, 3)]
    assert left_under_way(several) == "trials 2, 3 were left under way and go on with a larger budget"
