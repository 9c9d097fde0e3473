"""The pass rate people would have given, from the pass rate of a judge that errs."""

import numpy as np
from scipy.special import ndtri

from llmops.evaluation.statistics.intervals import Estimate

Counts = tuple[int, int]
"""how many, out of how many"""


def corrected_pass_rate(
    passes: Counts, sensitivity: Counts, specificity: Counts, level: float = 0.95
) -> Estimate | None:
    """The pass rate corrected for the judge's errors; None for a judge that is no better than chance.

    The value is that of Rogan and Gladen 1978 (American Journal of Epidemiology 107:71): with apparent rate p,
    sensitivity se and specificity sp, (p + sp - 1) / (se + sp - 1), moved into 0 to 1. Its interval is by the delta
    method, with the uncertainty of all three, and with added counts and a shift of the middle without which it is too
    narrow near the ends and for few human votes (Lang and Reiczigel 2014, Preventive Veterinary Medicine 113:13,
    equations 4, 6, 7 and 17).

    It holds where the judge errs on the judged answers as it does on those with human votes, and where answers are
    independent. An interval without width at 0 or 1 says that these three rates do not fit together.

    Args:
        passes: answers passed by the judge, of all it gave a verdict on.
        sensitivity: answers passed by the judge, of those people passed.
        specificity: answers failed by the judge, of those people failed.
        level: of the interval.

    >>> rate = corrected_pass_rate((70, 100), sensitivity=(90, 100), specificity=(80, 100))
    >>> round(rate.value, 4), round(rate.low, 3), round(rate.high, 3)
    (0.7143, 0.563, 0.858)
    """
    (passed, n), (hits, of_passes), (rejections, of_fails) = passes, sensitivity, specificity
    if not n or not of_passes or not of_fails:
        return None
    value = _rogan_gladen(passed / n, hits / of_passes, rejections / of_fails)
    z = float(ndtri(0.5 + level / 2))
    n_p, n_se, n_sp = n + z**2, of_passes + 2, of_fails + 2
    p, se, sp = (passed + z**2 / 2) / n_p, (hits + 1) / n_se, (rejections + 1) / n_sp
    middle = _rogan_gladen(p, se, sp)
    if value is None or middle is None:
        return None
    spread_se, spread_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * z**2 * (middle * spread_se - (1 - middle) * spread_sp)
    variance = p * (1 - p) / n_p + middle**2 * spread_se + (1 - middle) ** 2 * spread_sp
    half = z * float(np.sqrt(variance)) / (se + sp - 1)
    value = min(1.0, max(0.0, value))
    low, high = max(0.0, middle + shift - half), min(1.0, middle + shift + half)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)


def _rogan_gladen(p: float, se: float, sp: float) -> float | None:
    return (p + sp - 1) / (se + sp - 1) if se + sp > 1 else None
