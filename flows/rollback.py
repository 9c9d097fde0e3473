"""Give a model's alias `champion` back to the version that held it before."""

from prefect import flow

from tasks.name_lock import name_lock
from tasks.promotion import roll_back
from tasks.results import RollbackResult
from tasks.tracking import set_tags, tracked_run


@flow(name="rollback")
def rollback(name: str) -> RollbackResult:
    """Give a model's alias `champion` back to the version that held it before.

    Args:
        name: registered model.
    """
    with name_lock(name), tracked_run("rollback", experiment=name) as run:
        done = roll_back(name)
        uri = f"models:/{name}/{done.champion}"
        set_tags(run.run_id, {"model": uri, "rolled_back_from": f"models:/{name}/{done.former}"})
    return RollbackResult(rollback=done, model_uri=uri, run_id=run.run_id)


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("rollback")
