"""Leave an endpoint alone that is down, and notice when it is back.

After a run of failures the circuit *opens*: nothing is sent. After a pause it is *half-open*: one request goes as a
probe. Any answer *closes* it; another failure doubles the pause (Nygard, "Release It!", 2007, chapter 5).

Only what says "the endpoint is down" counts: a connection that fails, a time-out, a 503. A 429 or a 400 is an answer,
and so is a 500: the server is there, and it may be this very request that breaks it.
"""

import math

THRESHOLD = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class CircuitBreaker:
    """The state of one endpoint. It keeps no clock: every method is told the time, in seconds.

    Attributes:
        opened: how often it has opened from closed.
        next_at: when the next request may be sent: in the past while closed, infinite while a probe is out.

    >>> breaker = CircuitBreaker()
    >>> for request in range(5):
    ...     breaker.failed(now=10.0, request=request, probe=False)
    >>> breaker.is_open, breaker.next_at
    (True, 11.0)
    >>> breaker.sending(), breaker.next_at  # the probe
    (True, inf)
    >>> breaker.failed(now=12.0, request=5, probe=True)
    >>> breaker.next_at
    14.0
    >>> breaker.answered()
    >>> breaker.is_open
    False
    """

    def __init__(self) -> None:
        self.opened = 0
        self.next_at = -math.inf
        self._run = 0
        self._pause_s = FIRST_PAUSE_S
        self._first_to_fail: object = None
        self._several_fail = False

    @property
    def is_open(self) -> bool:
        """Whether it is open or half-open."""
        return self.next_at > -math.inf

    @property
    def blames_endpoint(self) -> bool:
        """Whether failing is the endpoint's doing: it is open, and more than one request has failed since an answer.

        One request that always makes a server crash opens the circuit too, and is not to be asked for ever.
        """
        return self.is_open and self._several_fail

    def sending(self) -> bool:
        """A request goes out; returns whether it is the probe."""
        if not self.is_open:
            return False
        self.next_at = math.inf
        return True

    def answered(self) -> None:
        """The endpoint answered, with whatever: it is not down."""
        self.next_at = -math.inf
        self._run = 0
        self._pause_s = FIRST_PAUSE_S
        self._first_to_fail = None
        self._several_fail = False

    def failed(self, now: float, request: object, probe: bool) -> None:
        """A request failed in a way that says the endpoint is down; ``request`` is the same object in its retries."""
        if self._run == 0:
            self._first_to_fail = request
        elif request != self._first_to_fail:
            self._several_fail = True
        self._run += 1
        if probe and self.is_open:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self.next_at = now + self._pause_s
        elif self._run >= THRESHOLD and not self.is_open:
            self.opened += 1
            self.next_at = now + self._pause_s

    def probe_abandoned(self, now: float) -> None:
        """The probe was cancelled before its end: another may go at once."""
        if self.is_open:
            self.next_at = now
