"""Whether a base at a provider answers by the name that it will be compared under, found out before a job is paid."""

import asyncio

from llmops.errors import InputError, ServiceError
from llmops.llm.client import ClientConfig, ModelClient, open_client
from llmops.llm.completions import Parameters, as_messages
from llmops.llm.failures import ModelError

QUESTION = "Say yes."
PATIENCE = ClientConfig(concurrency=1, timeout_s=60, max_attempts=3, patience_s=60)


def require_answer(name: str) -> None:
    """Ask a base one short question, for a few tokens; what it answers does not matter.

    A name by which a base is tuned is not always one by which it is asked: a dated version, a length of context, a
    model that answers through an inference profile or a deployment alone.

    Args:
        name: ``provider/model``.

    Raises:
        InputError: no request to that name will be answered.
        ServiceError: there is no answer now.
    """
    try:
        asyncio.run(_ask(open_client(name, PATIENCE)))
    except ModelError as error:
        if error.transient or error.kind == "quota":
            raise ServiceError(f"the base to compare with does not answer as {name}: {error.message}") from error
        raise InputError(
            f"the base to compare with cannot be asked as {name}: {error.message}; set job.baseline to the "
            "provider/model that answers for it"
        ) from error


async def _ask(client: ModelClient) -> None:
    try:
        await client.complete(as_messages(QUESTION), Parameters(max_tokens=16))
    finally:
        await client.close()
