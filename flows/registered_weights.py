"""Registered models by name, for the commands that need their weights: a version, and the folder that it stands for."""

from pathlib import Path
from typing import NamedTuple

from llmops.errors import InputError

CHAMPION = "champion"


class RegisteredVersion(NamedTuple):
    """A version of a registered model, and the MLflow run that trained it."""

    name: str
    version: str
    run_id: str | None

    @property
    def uri(self) -> str:
        """How it is named for good."""
        return f"models:/{self.name}/{self.version}"


def find_version(model: str) -> RegisteredVersion:
    """The version that ``NAME`` (its champion), ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` names.

    Raises:
        InputError: there is none.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    name, at, alias = model.removeprefix("models:/").partition("@")
    name, slash, number = name.partition("/")
    client = MlflowClient()
    try:
        if slash:
            found = client.get_model_version(name, number)
        else:
            found = client.get_model_version_by_alias(name, alias if at else CHAMPION)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"there is no model {model} in the registry ({reason}): llmops list models, or ./FOLDER for a folder"
        ) from error
    return RegisteredVersion(found.name, str(found.version), found.run_id)


def find_weights(version: RegisteredVersion) -> Path:
    """The folder of a version's full weights with their tokenizer.

    Raises:
        InputError: a provider keeps them.
    """
    from tasks.base_models import find_model

    return find_model(version.uri).path
