"""Holm's correction for several questions asked of the same data (Holm 1979, Scand. J. Statist. 6:65)."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def holm(names: Iterable[Name], rejects: Callable[[Name, float], bool], alpha: float) -> set[Name]:
    """Holm's step-down procedure: the names whose test, asked at a level, rejects after correction.

    >>> p_values = {"a": 0.01, "b": 0.04, "c": 0.02}
    >>> sorted(holm(p_values, lambda name, level: p_values[name] <= level, alpha=0.05))
    ['a', 'b', 'c']
    >>> sorted(holm(p_values, lambda name, level: p_values[name] <= level, alpha=0.03))
    ['a']
    """
    left, rejected = set(names), set[Name]()
    while left:
        level = alpha / len(left)
        now = {name for name in left if rejects(name, level)}
        if not now:
            break
        rejected |= now
        left -= now
    return rejected


def holm_adjusted(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Holm's adjusted p-values: a test rejects at a level exactly where its adjusted p-value is at most that.

    >>> holm_adjusted({"a": 0.01, "b": 0.04, "c": 0.02})
    {'a': 0.03, 'c': 0.04, 'b': 0.04}
    """
    adjusted, largest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return adjusted
