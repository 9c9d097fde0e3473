"""Where answers come from."""

from dataclasses import dataclass, field
from pathlib import Path

from llmops.llm.client import ClientConfig


@dataclass(frozen=True)
class EndpointSource:
    """A model behind a provider's API.

    name: ``provider/model``. client: how many requests at once, and how long one waits for it.
    """

    name: str
    client: ClientConfig = field(default_factory=ClientConfig)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name


@dataclass(frozen=True)
class LocalSource:
    """A model whose weights are on this machine.

    path: its folder. label: what people call it. identity: digest of its weights. batch_size: prompts at once.
    num_beams: 1 is greedy search.
    """

    path: Path
    label: str
    identity: str
    batch_size: int = 32
    num_beams: int = 1

    @property
    def model(self) -> str:
        """What its answers are kept under: the weights, and how an answer is searched with them."""
        return f"local:{self.identity}" + (f"?num_beams={self.num_beams}" if self.num_beams > 1 else "")


@dataclass(frozen=True)
class ReplaySource:
    """Answers that are already in the dataset.

    column: of the metadata; `expected` for the first right answer.
    """

    column: str

    @property
    def label(self) -> str:
        """What people call it."""
        return f"replay:{self.column}"

    @property
    def model(self) -> str:
        """Its identity."""
        return self.label


Source = EndpointSource | LocalSource | ReplaySource
