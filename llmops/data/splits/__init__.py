"""Splits: train, validation and test, with nothing in two of them.

==============  ============================================================================
``assignment``  `assign` gives every row its split, `straddling` proves that nothing leaks
``methods``     by hash, stratified, by time
``ties``        which rows hold each other in one split
``times``       moments as numbers and back
==============  ============================================================================
"""

from llmops.data.splits.assignment import SplitConfig

__all__ = ["SplitConfig"]
