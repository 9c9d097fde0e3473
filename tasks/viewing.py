"""How to look at what a run left: the commands that open the two UIs, or the addresses they are at already."""

import shlex
import sys
from pathlib import Path

from llmops.settings import settings


def viewing_commands() -> list[str]:
    """One line for each UI."""
    chosen = settings()
    return [
        f"MLflow   {_mlflow()}",
        f"Prefect  {chosen.prefect_api_url.removesuffix('/api')}"
        if chosen.prefect_api_url
        else f"Prefect  PREFECT_HOME={shlex.quote(_short(chosen.home / 'prefect'))} {_program('prefect')} server start",
    ]


def _mlflow() -> str:
    uri = settings().tracking_uri
    if uri.startswith("http"):
        return uri
    return f"{_program('mlflow')} ui --backend-store-uri {shlex.quote(uri)}"


def _program(name: str) -> str:
    return shlex.quote(_short(Path(sys.executable).with_name(name)))


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
