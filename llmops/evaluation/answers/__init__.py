"""The answers of models: none paid twice, none lost.

===================  ==========================================================================
``collection``       the way of a run: look up what is known, ask the rest, report
``sources``          who answers: an endpoint, a model on this machine, a column of the dataset
``requests``         the key of a request; the same key is paid once
``plan``             the requests of a run, and which of them are answered, in files
``fan_out``          the batches of a plan through a task runner
``batch_workers``    what a batch task does
``asking``           one model behind an endpoint, all its slots busy
``local_worker``     one model on this machine
``replay``           answers that the dataset has
``journal``          every answer on disk the moment it arrives
``store``            all answers ever paid for, in one Delta table
``budget``           how much a run may spend
``collected``        what a run leaves: files of answers, and a report
``schema``           the columns of an answer
===================  ==========================================================================

An answer is written to the journal as it arrives, and a batch of them moves on into the store. Whatever kills the
process, the next command finds the journal, folds it into the store, and asks what is still missing.
"""

from llmops.evaluation.answers.budget import Budget
from llmops.evaluation.answers.collected import Collected, CollectionReport
from llmops.evaluation.answers.requests import request_key
from llmops.evaluation.answers.schema import ANSWER_SCHEMA, BATCH_SCHEMA
from llmops.evaluation.answers.sources import EndpointSource, LocalSource, ReplaySource, Source
from llmops.evaluation.answers.store import AnswerStore

__all__ = [
    "ANSWER_SCHEMA",
    "BATCH_SCHEMA",
    "AnswerStore",
    "Budget",
    "Collected",
    "CollectionReport",
    "EndpointSource",
    "LocalSource",
    "ReplaySource",
    "Source",
    "request_key",
]
