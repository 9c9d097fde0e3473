"""What a search has shown reaches whoever reads the result of the pipeline that it is part of."""

from flows.lifecycle import notes_of
from tasks.search_result import FinaleResult
from tests.tasks.test_search_result import result


def test_how_sure_a_search_is_and_its_notes_are_said_once_each() -> None:
    found = result().model_copy(update={"notes": ["There was no pruning."]})
    assert notes_of(found) == ["Search: There was no pruning."]
    sentence = "trial 3 does not win by more than noise: its loss is 0.010 lower than that of trial 1"
    finale = FinaleResult(
        winner=3,
        finalists=[],
        difference=0.01,
        low=-0.02,
        high=0.04,
        level=0.9,
        by_more_than_noise=False,
        sentence=sentence,
    )
    assert notes_of(found.model_copy(update={"finale": finale})) == [
        f"Search: T{sentence[1:]}.",
        "Search: There was no pruning.",
    ]
