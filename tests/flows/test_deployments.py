"""What a model answers through, and is paid by the hour for, over several fine-tunings of one name and a rollback."""

from pathlib import Path
from typing import Any

import pytest

from flows.rollback import rollback
from llmops.evaluation import GateConfig
from llmops.finetuning import TrainingConfig
from llmops.finetuning.backends.azure_deployments import AzureDeployments
from llmops.finetuning.jobs import job_ledger
from tasks.hosted_models import find_hosted_model
from tests.emulators.tuning_provider import TuningProvider
from tests.flows.tuning_there import AZURE, train_there, tune_there

pytestmark = [pytest.mark.service, pytest.mark.slow]

# Twenty-odd inputs cannot tell a few points apart; with these margins a model that answers as well passes.
WIDE = GateConfig(margins={"exact_match": 0.9, "chrf": 90.0})


def served_by(provider: TuningProvider) -> list[str]:
    """The jobs whose models are deployed there."""
    return [one["properties"]["model"]["name"].rpartition(":")[2] for one in provider.deployments.values()]


def test_one_model_of_a_name_is_paid_for_at_a_time(
    toy: Path, provider: TuningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("tasks.fine_tuning_jobs._take_down", lambda plan: None)
        train_there(**AZURE)
    assert served_by(provider) == ["ftjob-0"]

    second = tune_there(**AZURE, training=TrainingConfig(epochs=3))
    assert second.promotion is not None
    assert (second.promotion.status, second.promotion.notes) == ("promoted", [])
    assert served_by(provider) == ["ftjob-1"]
    deleted, (_, begun) = (
        [at for at, (one, path) in enumerate(provider.seen) if (one, path.endswith(ending)) == (method, True)]
        for method, ending in (("DELETE", ""), ("POST", "/fine_tuning/jobs"))
    )
    assert deleted[0] < begun, "before the next training, in which it would cost"

    first = tune_there(**AZURE, gate=WIDE)
    assert first.promotion is not None
    assert (first.promotion.status, len(provider.jobs)) == ("promoted", 2), "goes on where it was killed"
    assert served_by(provider) == ["ftjob-0"]
    rolled_back(provider, monkeypatch)


def rolled_back(provider: TuningProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the deployment is waited for, and then not."""

    def ctrl_c(*_: Any) -> None:
        assert len(provider.deployments) == 2
        raise KeyboardInterrupt

    with monkeypatch.context() as waiting:
        waiting.setattr(AzureDeployments, "_wait_until_it_serves", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            rollback("hosted")
    assert served_by(provider) == ["ftjob-0"]
    record = job_ledger().get("ftjob-1")
    assert record.model is not None
    assert record.model.deployment is None
    done = rollback("hosted").rollback
    assert (done.former, done.champion, served_by(provider)) == ("2", "1", ["ftjob-1"])
    champion = find_hosted_model("models:/hosted@champion")
    assert champion is not None
    assert (champion.model.deployment, champion.model.region) == (*provider.deployments, "swedencentral")
