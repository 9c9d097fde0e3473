"""What an evaluation measures: the metrics that are named, those of the configuration, and its judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.judges import judge_metric
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.metrics.measurement import METRICS, TEXT_METRICS, build_metrics
from llmops.evaluation.metrics.metric import Metric
from tasks.model_sources import AskedModel

OF_AN_ENDPOINT = ("latency", "input_tokens", "output_tokens", "cost")


@dataclass(frozen=True)
class Wanted:
    """What is measured of every answer.

    metrics: what is computed here. judges: panels by the names of their metrics. pairwise: panels that compare.
    """

    metrics: Sequence[Metric]
    judges: Mapping[str, JudgeConfig]
    pairwise: Mapping[str, JudgeConfig]

    @property
    def by_name(self) -> dict[str, Metric]:
        """Every metric that a model may be measured by."""
        judged = {name: judge_metric(name, config) for name, config in self.judges.items()}
        return {metric.name: metric for metric in self.metrics} | judged

    @property
    def text_names(self) -> list[str]:
        """Those of the usual metrics of text that are wanted."""
        usual = {metric.name for metric in TEXT_METRICS}
        return [metric.name for metric in self.metrics if metric.name in usual]


def wanted_metrics(names: Sequence[str] | None, evaluation: EvaluationConfig, models: Sequence[AskedModel]) -> Wanted:
    """The metrics that are named, without names the usual ones; and all that the configuration defines.

    Metrics of token probabilities are for models on this machine; latency, tokens and cost for those behind an API.

    Raises:
        InputError: no such metric.
    """
    panels = evaluation.judges
    twice = sorted(set(panels) & {*METRICS, *evaluation.custom_metrics})
    if twice:
        raise InputError(f"evaluation.judges.{twice[0]}: there is a metric of that name; give the judge another one")
    computed = None
    if names is not None:
        own = [name for name in evaluation.custom_metrics if name not in names]
        computed = [name for name in (*names, *own) if name not in panels]
    local = any(model.local is not None for model in models)
    metrics = build_metrics(computed, evaluation.custom_metrics, token_scores=local)
    known = {metric.name for metric in metrics}
    if any(model.endpoint for model in models):
        metrics += [METRICS[name] for name in OF_AN_ENDPOINT if name not in known]
    return Wanted(
        metrics=metrics,
        judges={name: config for name, config in panels.items() if config.kind != "pairwise"},
        pairwise={name: config for name, config in panels.items() if config.kind == "pairwise"},
    )
