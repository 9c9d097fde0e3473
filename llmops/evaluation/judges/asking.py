"""Ask one judge, read what it replies, and ask once more where there is no verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.judges.config import Ask, JudgeConfig
from llmops.evaluation.judges.prompts import reminded
from llmops.evaluation.judges.verdicts import CANNOT_TELL, Verdict, VerdictForm, read_verdict
from llmops.evaluation.metrics.metric import FloatArray
from llmops.llm.completions import Message

EXAMPLE_LENGTH = 500  # characters of a malformed reply that are kept


@dataclass(frozen=True)
class JudgeReport:
    """What one judge did.

    verdicts: readable ones, `cannot tell` not among them. malformed: replies without a verdict after all re-asks, with
    the end of the first as `example`. unanswered: prompts that the model did not answer. reasked: prompts sent again.
    """

    model: str
    verdicts: int
    cannot_tell: int
    malformed: int
    unanswered: int
    reasked: int
    example: str | None


@dataclass(frozen=True)
class Replies:
    """What one judge said to p prompts: votes (p,), NaN where there is none, and its reasons."""

    votes: FloatArray
    reasons: list[str | None]
    report: JudgeReport


def ask_judge(
    config: JudgeConfig, model: str, prompts: Sequence[Sequence[Message]], form: VerdictForm, shown_form: str, ask: Ask
) -> Replies:
    """The votes of one judge.

    Args:
        config: how it is asked.
        model: the judge.
        prompts: one a vote.
        form: how its verdicts are read.
        shown_form: the JSON object that it is reminded of.
        ask: sends the prompts.

    Raises:
        InputError: `ask` did not return one reply for each prompt.
    """
    replies = _asked(config, model, prompts, ask)
    verdicts: list[Verdict | None] = [None if reply is None else read_verdict(reply, form) for reply in replies]
    malformed = {place: replies[place] or "" for place, one in enumerate(verdicts) if one and one.claim is None}
    reasked = 0
    for _ in range(config.reasks):
        if not malformed:
            break
        places = list(malformed)
        again = _asked(config, model, [reminded(prompts[n], malformed[n], shown_form) for n in places], ask)
        reasked += len(places)
        for place, reply in zip(places, again, strict=True):
            verdict = None if reply is None else read_verdict(reply, form)
            if verdict is not None and verdict.claim is not None:
                first = verdicts[place]
                # Told to send the object alone, it gave its reasons before.
                verdicts[place] = Verdict(verdict.claim, verdict.reason or (first.reason if first else ""))
                del malformed[place]
    return Replies(
        votes=np.array([np.nan if one is None or one.value is None else one.value for one in verdicts]),
        reasons=[None if one is None else one.reason for one in verdicts],
        report=JudgeReport(
            model=model,
            verdicts=sum(one is not None and one.value is not None for one in verdicts),
            cannot_tell=sum(one is not None and one.claim == CANNOT_TELL for one in verdicts),
            malformed=len(malformed),
            unanswered=sum(one is None for one in verdicts),
            reasked=reasked,
            example=next((reply[-EXAMPLE_LENGTH:] for reply in malformed.values()), None),
        ),
    )


def _asked(config: JudgeConfig, model: str, prompts: Sequence[Sequence[Message]], ask: Ask) -> Sequence[str | None]:
    replies = ask(model, prompts, config.parameters)
    if len(replies) != len(prompts):
        raise InputError(
            f"{model}: {len(replies)} replies to {len(prompts)} prompts; return one for each, None for none"
        )
    return replies
