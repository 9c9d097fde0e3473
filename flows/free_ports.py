"""A port that a server is to have, looked at before anything is started."""

import socket

from llmops.errors import InputError


def require_free_port(host: str, port: int, *, named: str, advice: str) -> None:
    """Check that a server can have its port.

    Args:
        named: what the message calls it.
        advice: what to do about a port that is taken.

    Raises:
        InputError: it is taken, or the address is not of this machine.
    """
    with socket.socket() as probe:
        # As the servers do: a port that was given up a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{named} cannot be used ({reason}); {advice}") from error
