"""How many requests an endpoint is given at once, learnt from how it answers.

Nobody knows a provider's limit beforehand: it depends on the account, the hour and the other users of the key. The
controller is the one that TCP finds its share of a network with. It begins with a moderate number and *doubles it
every round trip* while the endpoint is willing (slow start: each answer makes room for one more request). The first
refusal ends that; from then on the number *grows by one a round trip* and is *multiplied by 0.7 on every refusal*.
Additive increase with multiplicative decrease is what lets many independent clients converge to fair shares of a
limit without talking to each other (Chiu and Jain 1989, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks").

All requests that were in flight when the endpoint had enough are refused together. They are one piece of news, so
there is one cut for them: a refusal only counts if its request was sent after the last cut.
"""

import math

START = 32
CUT = 0.7  # as in CUBIC (RFC 9438, section 4.6); Reno's 0.5 leaves more of the limit unused


class AdaptiveLimit:
    """The number of requests that may be in flight, between 1 and a ceiling.

    >>> limit = AdaptiveLimit(ceiling=50)
    >>> limit.slots
    32
    >>> for _ in range(32):
    ...     limit.answered(in_flight=32)
    >>> limit.slots
    50
    >>> limit.refused(sent_at=1.0, now=2.0), limit.slots
    (True, 35)
    >>> limit.refused(sent_at=1.5, now=2.1), limit.slots
    (False, 35)
    """

    def __init__(self, ceiling: int, start: int = START) -> None:
        self._ceiling = ceiling
        self._value = float(min(ceiling, start))
        self._cut_at = -math.inf

    @property
    def slots(self) -> int:
        """Requests that may be in flight now."""
        return int(self._value)

    def raise_ceiling(self, ceiling: int) -> None:
        """Let the number grow up to ``ceiling``, if that is more than before."""
        self._ceiling = max(self._ceiling, ceiling)
        if not self._was_cut:
            self._value = max(self._value, float(min(self._ceiling, START)))

    @property
    def _was_cut(self) -> bool:
        return self._cut_at > -math.inf

    def answered(self, in_flight: int) -> None:
        """A request was answered while ``in_flight`` were under way, itself included.

        The number only grows while at least half of it is used (as in RFC 7661): what was never tried was not granted.
        """
        if self._value < self._ceiling and 2 * in_flight >= self._value:
            step = 1 / self._value if self._was_cut else 1.0
            self._value = min(self._value + step, float(self._ceiling))

    def refused(self, sent_at: float, now: float) -> bool:
        """The endpoint had too much to do for a request of ``sent_at``; returns whether the number was cut for it."""
        if sent_at <= self._cut_at:
            return False
        self._cut_at = now
        self._value = max(1.0, self._value * CUT)
        return True
