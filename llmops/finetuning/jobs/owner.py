"""Which process works on a job: so that a job whose process has died is told from one that is under way."""

import os
import socket

import psutil
from pydantic import BaseModel, ConfigDict


class JobOwner(BaseModel):
    """A process for certain: a machine gives numbers out again, but not with the same time of creation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    pid: int
    create_time: float

    @classmethod
    def this_process(cls) -> "JobOwner":
        """The process that asks."""
        return cls(host=socket.gethostname(), pid=os.getpid(), create_time=psutil.Process().create_time())

    @property
    def here(self) -> bool:
        """Whether it ran on this machine, where it can be looked for."""
        return self.host == socket.gethostname()

    def alive(self) -> bool | None:
        """Whether it still runs; a zombie does not, and None means that it is on another machine."""
        if not self.here:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < 0.01
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
