"""The registered models and the runs in MLflow, as `llmops list` and `llmops show` have them."""

from datetime import UTC, datetime
from typing import Any

from flows.running_servers import require_answer
from llmops.errors import InputError
from llmops.settings import settings

Row = dict[str, Any]
MOST_RUNS = 50


def list_models() -> list[Row]:
    """Every registered model."""
    client = _client()
    if client is None:
        return []
    rows = []
    for model in client.search_registered_models(max_results=1000):
        newest = client.search_model_versions(f"name = '{model.name}'", order_by=["version_number DESC"], max_results=1)
        rows.append(
            {
                "model": model.name,
                "champion": model.aliases.get("champion"),
                "previous": model.aliases.get("previous"),
                "newest": newest[0].version if newest else None,
                "updated": _when(model.last_updated_timestamp),
            }
        )
    return rows


def show_model(name: str) -> Row:
    """A registered model with its versions (InputError: there is none)."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        model = client.get_registered_model(name) if client else None
    except MlflowException:
        model = None
    if client is None or model is None:
        known = ", ".join(row["model"] for row in list_models()) or "none yet"
        raise InputError(f"there is no model {name!r}; there are: {known}")
    versions = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"], max_results=100)
    searched = any("search_run_id" in one.tags for one in versions)
    # A search of versions leaves the aliases out.
    held: dict[str, list[str]] = {}
    for alias, version in model.aliases.items():
        held.setdefault(str(version), []).append(alias)
    return {
        "model": name,
        "uri": f"models:/{name}@champion" if "champion" in model.aliases else None,
        "updated": _when(model.last_updated_timestamp),
        "aliases": dict(model.aliases),
        "versions": [
            {
                "version": one.version,
                "aliases": held.get(str(one.version), []),
                "dataset": one.tags.get("dataset"),
                "verdict": one.tags.get("verdict"),
                "run": one.run_id,
                **({"search": one.tags.get("search_run_id")} if searched else {}),
                "created": _when(one.creation_timestamp),
            }
            for one in versions
        ],
    }


def list_runs() -> list[Row]:
    """The newest runs."""
    client = _client()
    if client is None:
        return []
    experiments = {one.experiment_id: one.name for one in client.search_experiments()}
    if not experiments:
        return []
    runs = client.search_runs(list(experiments), order_by=["attributes.start_time DESC"], max_results=MOST_RUNS)
    return [
        {
            "run": run.info.run_id,
            "name": run.info.run_name,
            "experiment": experiments[run.info.experiment_id],
            "status": run.info.status,
            "verdict": run.data.tags.get("verdict"),
            "started": _when(run.info.start_time),
        }
        for run in runs
    ]


def show_run(run_id: str) -> Row:
    """A run in full (InputError: there is none)."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        run = client.get_run(run_id) if client else None
    except MlflowException:
        run = None
    if client is None or run is None:
        raise InputError(f"there is no run {run_id!r}; `llmops list runs` shows the newest")
    return {
        "run": run.info.run_id,
        "name": run.info.run_name,
        "experiment": client.get_experiment(run.info.experiment_id).name,
        "status": run.info.status,
        "started": _when(run.info.start_time),
        "ended": _when(run.info.end_time),
        "metrics": dict(sorted(run.data.metrics.items())),
        "parameters": dict(sorted(run.data.params.items())),
        "tags": {name: tag for name, tag in sorted(run.data.tags.items()) if not name.startswith("mlflow.")},
        "inputs": [
            {
                "dataset": used.dataset.name,
                "digest": used.dataset.digest,
                "as": ", ".join(tag.value for tag in used.tags),
            }
            for used in (run.inputs.dataset_inputs if run.inputs else [])
        ],
        "artifacts": [file.path for file in client.list_artifacts(run_id)],
    }


def _client() -> Any:
    """A client of the store, or None where nothing has been stored yet: a look must not create a database."""
    uri = settings().tracking_uri
    if uri == f"sqlite:///{settings().home / 'mlflow.db'}" and not (settings().home / "mlflow.db").exists():
        return None
    if uri.startswith("http"):
        require_answer("MLflow", f"{uri.rstrip('/')}/health", uri)
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _when(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
