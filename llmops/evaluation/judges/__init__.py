"""What other models think of an answer: judges, panels of them, and how far they can be believed.

===============  =======================================================================
``config``       what a panel is asked; the function that asks
``fences``       text that is judged cannot pass for instructions
``prompts``      the messages a judge is sent
``verdicts``     the verdict out of what a judge wrote, or that there is none
``rubric``       a score on a scale whose points are described
``pass_fail``    pass, fail, or cannot tell
``pairwise``     the first answer, the second, or a tie
``asking``       one judge: ask, read, ask once more
``answers``      a panel judges answers one by one
``pairs``        a panel compares two answers, in both orders
``panel``        many votes, one verdict
``agreement``    alpha, kappa and raw agreement, with intervals
``calibration``  judges against people: accuracy, bias, weights
``pass_rate``    the pass rate corrected for the judge's errors
``metrics``      judgements as metrics
===============  =======================================================================

No model is talked to here: the caller passes `Ask`, a function that does.

>>> panel = JudgeConfig(kind="pass_fail", models=("a", "b", "c"), instructions="Is the answer a colour?")
>>> says = {"a": "It is. {'verdict': 'PASS',}", "b": "Verdict: pass", "c": "I would say it passes, or not."}
>>> judged = judge_answers(panel, Answers(["blue"], [[]]), lambda model, prompts, _: [says[model]] * len(prompts))
>>> judged.scores.tolist(), judged.votes.tolist(), [judge.malformed for judge in judged.judges]
([1.0], [[1.0, 1.0, nan]], [0, 0, 1])
"""

from llmops.evaluation.judges.agreement import (
    Agreement,
    agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    raw_agreement,
)
from llmops.evaluation.judges.answers import Judged, judge_answers
from llmops.evaluation.judges.asking import JudgeReport
from llmops.evaluation.judges.calibration import Calibration, JudgeCalibration, calibrate
from llmops.evaluation.judges.config import Ask, JudgeConfig
from llmops.evaluation.judges.metrics import judge_metric, value_rows
from llmops.evaluation.judges.pairs import JudgedPairs, judge_pairs
from llmops.evaluation.judges.pass_rate import corrected_pass_rate
from llmops.evaluation.metrics.metric import Answers

__all__ = [
    "Agreement",
    "Answers",
    "Ask",
    "Calibration",
    "JudgeCalibration",
    "JudgeConfig",
    "JudgeReport",
    "Judged",
    "JudgedPairs",
    "agreement",
    "calibrate",
    "cohen_kappa",
    "corrected_pass_rate",
    "fleiss_kappa",
    "judge_answers",
    "judge_metric",
    "judge_pairs",
    "krippendorff_alpha",
    "raw_agreement",
    "value_rows",
]
