"""Who is asked: a model behind an API, one on this machine, or answers that the dataset holds already."""

from dataclasses import dataclass

from llmops.errors import InputError
from llmops.evaluation.answers.sources import EndpointSource, LocalSource, ReplaySource, Source
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ResolvedBase
from llmops.llm.catalogue import cost, find_entry, load_catalogue
from llmops.llm.completions import Parameters
from llmops.llm.providers import PROVIDERS, connect, is_endpoint
from tasks.base_models import find_model, model_label
from tasks.hosted_models import find_hosted_model

REPLAY = "replay:"


@dataclass(frozen=True)
class AskedModel:
    """A model that can be asked.

    Attributes:
        spec: what the person wrote.
        label: what it is called in tables and pictures.
        source: who answers.
        parameters: how it is asked.
        local: its weights, where they are on this machine.
    """

    spec: str
    label: str
    source: Source
    parameters: Parameters
    local: ResolvedBase | None = None

    @property
    def endpoint(self) -> bool:
        """Whether it is behind an API."""
        return isinstance(self.source, EndpointSource)

    @property
    def priced(self) -> bool:
        """Whether it is known what its answers cost; those of a model on this machine cost nothing."""
        if not isinstance(self.source, EndpointSource):
            return True
        return cost(find_entry(load_catalogue(), self.source.name), 1, 1) is not None

    @property
    def replayed_column(self) -> str | None:
        """The column of the dataset that its answers are in; None where it is asked."""
        return self.source.column if isinstance(self.source, ReplaySource) else None


def find_asked_model(spec: str, evaluation: EvaluationConfig) -> AskedModel:
    """The model that a name stands for.

    Args:
        spec: ``openai/…`` and the other providers, ``models:/NAME@ALIAS`` (weights, or a reference to a model that a
            provider keeps), ``tiny``, a folder, a hub id, or ``replay:COLUMN``.
        evaluation: how it is asked.

    Raises:
        InputError: there is no such model, or it cannot be asked like that.
    """
    if spec.startswith(REPLAY):
        return AskedModel(spec, spec, ReplaySource(spec.removeprefix(REPLAY)), Parameters())
    if is_endpoint(spec):
        connect(spec)  # a missing SDK, key or address is said now
        return AskedModel(spec, spec, EndpointSource(spec, evaluation.client), evaluation.parameters)
    if (hosted := find_hosted_model(spec)) is not None:
        answering = hosted.require_answer()
        connect(answering)
        return AskedModel(spec, spec, EndpointSource(answering, evaluation.client), evaluation.parameters)
    _require_greedy(spec, evaluation)
    try:
        base = find_model(spec)
    except InputError as error:
        raise InputError(f"{error}; behind an API a model is named {'/…, '.join(PROVIDERS)}/…") from error
    label = model_label(spec)
    source = LocalSource(base.path, label, base.digest, evaluation.batch_size, evaluation.num_beams)
    return AskedModel(spec, label, source, evaluation.local_parameters, base)


def _require_greedy(spec: str, evaluation: EvaluationConfig) -> None:
    given = [name for name in ("temperature", "top_p", "sampling_seed") if getattr(evaluation, name) is not None]
    given += ["extra"] if evaluation.extra else []
    if given:
        raise InputError(
            f"evaluation.{given[0]} is for models behind an API, and {spec} runs on this machine, where answers are "
            "greedy or by beam search (evaluation.num_beams)"
        )
