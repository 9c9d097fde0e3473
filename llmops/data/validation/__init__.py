"""Validation: what may be wrong with a sample, one file a family of rules.

======================  ====================================================================
``rules``               the catalogue: severity, advice and weight of every rule
``checks``              the configuration, and the three places where rules look
``control_characters``  and ``encoding_damage``, ``truncated_text``, ``boilerplate``,
                        ``repetition``: texts that are broken
``personal_data``       and ``credentials``: what must not be in a dataset
``class_labels``        and ``length_outliers``, ``language_mix``: rows unlike the others
``contamination``       rows that are in a test set, by ``word_ngrams``
``quality``             a score for each sample out of what the rules found
``scanned_text``        and ``flat_text``: what the rules search through
======================  ====================================================================
"""

from llmops.data.validation.checks import RulePolicy, ValidationConfig
from llmops.data.validation.rules import RULES

__all__ = ["RULES", "RulePolicy", "ValidationConfig"]
