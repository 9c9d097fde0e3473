"""The errors a user can do something about, each with the exit status of the command it ends."""

from typing import ClassVar


class LlmopsError(Exception):
    """An error whose message is meant for the person who ran the command: what, where, what to do."""

    exit_status: ClassVar[int] = 70


class InputError(LlmopsError):
    """Bad input: a file, a row, a name or a setting that the user can correct."""

    exit_status = 2


class ServiceError(LlmopsError):
    """A service outside this process (model provider, registry, server) failed or did not answer."""

    exit_status = 3
