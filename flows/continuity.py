"""What `llmops up` keeps going beside the deployments of prefect.yaml: evaluation suites, and who hears of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.automations import keep_automations
from flows.suite_deployments import deploy_suites
from llmops.evaluation.suites import Suite, read_suites
from tasks.notifications import Channel, read_channels


@dataclass(frozen=True)
class Continuity:
    """The suites of evaluation.yaml (`file`, as runs see it from the project's folder) and the channels beside it."""

    file: Path
    suites: Mapping[str, Suite]
    channels: Mapping[str, Channel]


def read_continuity(project: Path, configs: Path) -> Continuity:
    """Read both files of a folder; one that is missing says nothing.

    Args:
        project: where flow runs take place.
        configs: the folder, from there.

    Raises:
        InputError: a file is wrong, or a secret that it names is not in the environment.
    """
    suites, channels = configs / "evaluation.yaml", configs / "notifications.yaml"
    return Continuity(
        file=suites,
        suites=read_suites(project / suites) if (project / suites).exists() else {},
        channels=read_channels(project / channels) if (project / channels).exists() else {},
    )


def keep(continuity: Continuity) -> str:
    """Bring Prefect up to date with it, and say in a line what there is."""
    deployments = deploy_suites(continuity.suites, continuity.file)
    keep_automations(continuity.channels, continuity.suites, continuity.file, deployments.flow)
    told = f"a gate that fails is told to {', '.join(continuity.channels)}" if continuity.channels else "nobody is told"
    return f"{', '.join(continuity.suites)}; {told}" if continuity.suites else "none"
