"""What the trials of a search say about its dimensions: which of them the validation loss depends on."""

import math
import random
import warnings
from collections.abc import Sequence
from typing import Any

# With fewer trials a share of importance is chance.
FEWEST_FOR_IMPORTANCES = 10
PERMUTATIONS = 20
# Small trees: their cost grows with the square of the leaves, and the forest is grown 21 times.
FOREST: dict[str, int] = {"n_trees": 16, "max_depth": 5, "seed": 0}


def importances(study: Any, objective: int = 0) -> dict[str, float] | None:
    """What share of the variation of the validation loss each dimension explains by itself, largest first.

    By functional ANOVA (Hutter, Hoos, Leyton-Brown, ICML 2014) over the trials that ran to their end with a finite
    loss. It takes the dimensions that all these trials have; one with a condition is told only where it always held.

    A forest finds large shares even where nothing matters. So the losses are dealt out to the trials anew twenty times,
    and a dimension is told only where its share is above the largest of any dimension in all of these (Westfall and
    Young's maxT, 1993): where none matters, one is told with a probability of at most 1/21, however many there are.

    Args:
        study: of Optuna.
        objective: which of its values is the validation loss.

    Returns:
        None with fewer than ten such trials, or where fewer than two dimensions or no losses differ.
    """
    from optuna.trial import TrialState

    done = [
        one
        for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if math.isfinite(one.values[objective])
    ]
    common = set.intersection(*(set(one.params) for one in done)) if done else set()
    varied = [name for name in sorted(common) if len({one.params[name] for one in done}) > 1]
    losses = [float(one.values[objective]) for one in done]
    if len(done) < FEWEST_FOR_IMPORTANCES or len(varied) < 2 or len(set(losses)) == 1:
        return None
    found = _shares(done, varied, losses)
    order = random.Random(0)
    by_chance = (_shares(done, varied, order.sample(losses, len(losses))) for _ in range(PERMUTATIONS))
    largest = max(max(one.values()) for one in by_chance)
    return {name: share for name, share in found.items() if share > largest}


def _shares(trials: Sequence[Any], names: list[str], losses: Sequence[float]) -> dict[str, float]:
    import optuna

    study = optuna.create_study()
    study.add_trials([_with_loss(one, names, loss) for one, loss in zip(trials, losses, strict=True)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(**FOREST)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names, normalize=False)
    return {name: float(share) for name, share in found.items()}


def _with_loss(trial: Any, names: list[str], loss: float) -> Any:
    import optuna

    return optuna.create_trial(
        value=loss,
        params={name: trial.params[name] for name in names},
        distributions={name: trial.distributions[name] for name in names},
    )
