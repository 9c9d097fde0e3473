"""Preparation: from files to samples that can be published, in two readings.

=====================  =====================================================================
``config``             everything that decides what becomes of a source's rows
``prepare``            `prepare`: all of it in a row
``examination``        the first reading: every batch checked and keyed, and put into
``spill``              a nameless file, from which the kept samples are read again
``judgement``          from what rules found to findings, by the policies
``selection``          which rows are kept and in which split; ``dropped_rows`` says why not
``augmented_samples``  new samples from the training split
``report``             what became of the rows
=====================  =====================================================================
"""

from llmops.data.preparation.config import PreparationConfig
from llmops.data.preparation.prepare import FaultyDataError, Prepared, prepare
from llmops.data.preparation.report import PreparationReport, SourceFile

__all__ = ["FaultyDataError", "PreparationConfig", "PreparationReport", "Prepared", "SourceFile", "prepare"]
