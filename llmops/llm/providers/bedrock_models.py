"""Models of Amazon Bedrock behind its Converse API."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from llmops.errors import InputError
from llmops.llm.completions import Completion, FinishReason, Message, Parameters
from llmops.llm.failures import FailureKind, ModelError
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.conversation import Part, ToolCall, ToolResult, calls_as_text, conversation_of
from llmops.llm.providers.http_failures import connection_error, count, deadline, kind_of, malformed, retry_after_s

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, what the status does not say.
_KINDS: dict[str, FailureKind] = {
    "ThrottlingException": "rate_limited",
    "ServiceQuotaExceededException": "quota",
    "ModelNotReadyException": "overloaded",
    "ModelErrorException": "server",
    "ModelTimeoutException": "timeout",
    "ResourceNotFoundException": "not_found",
    "ExpiredTokenException": "unauthorized",
    "UnrecognizedClientException": "unauthorized",
    "InvalidSignatureException": "unauthorized",
    "IncompleteSignature": "unauthorized",
}
# boto3 is synchronous: a thread for each request in flight. Threads are started as they are needed.
MOST_IN_FLIGHT = 512


class BedrockModel:
    """A model, inference profile, prompt router, or ARN of what serves a custom model, behind Converse."""

    def __init__(self, model: str) -> None:
        import boto3

        # What an ARN names answers in its own region, whatever the environment says.
        region = model.split(":")[3] if model.startswith("arn:") and model.count(":") >= 5 else None
        # boto3 itself reads only AWS_DEFAULT_REGION, unlike AWS's other SDKs.
        region = region or boto3.session.Session().region_name or os.getenv("AWS_REGION")
        self._session = boto3.session.Session(region_name=region)
        self._clients: dict[float, Any] = {}
        self._threads = ThreadPoolExecutor(MOST_IN_FLIGHT, thread_name_prefix="bedrock")
        self._model = model
        self.name = f"bedrock/{model}"
        client = self._client(timeout_s=120.0)
        self.endpoint = f"{without_login(client.meta.endpoint_url)}#{model}"
        self._fields = frozenset(client.meta.service_model.operation_model("Converse").input_shape.members)

    async def complete(self, messages: Sequence[Message], parameters: Parameters, timeout_s: float) -> Completion:
        """Ask once, see `ChatModel.complete`."""
        request = self._request(messages, parameters)
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        async with deadline(timeout_s):
            # A thread cannot be stopped: the client's own time-out ends it when ours is over.
            answer = await loop.run_in_executor(self._threads, partial(_converse, self._client(timeout_s), request))
        return _completion(answer, self._model, time.perf_counter() - started)

    async def close(self) -> None:
        """Close its connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def _client(self, timeout_s: float) -> Any:
        from botocore.config import Config

        if timeout_s not in self._clients:
            config = Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=MOST_IN_FLIGHT,
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
            )
            self._clients[timeout_s] = self._session.client("bedrock-runtime", config=config)
        return self._clients[timeout_s]

    def _request(self, messages: Sequence[Message], parameters: Parameters) -> dict[str, Any]:
        conversation = conversation_of(messages)
        inference = {
            "maxTokens": parameters.max_tokens,
            "temperature": parameters.temperature,
            "topP": parameters.top_p,
            "stopSequences": list(parameters.stop) or None,
        }
        request: dict[str, Any] = {
            "modelId": self._model,
            "messages": [
                {"role": turn.role, "content": [_block(part) for part in turn.parts]} for turn in conversation.turns
            ],
        }
        if conversation.system is not None:
            request["system"] = [{"text": conversation.system}]
        if given := {name: value for name, value in inference.items() if value is not None}:
            request["inferenceConfig"] = given
        # Converse's own fields by name; anything else is a parameter of the model.
        request.update({name: value for name, value in parameters.extra.items() if name in self._fields})
        if other := {name: value for name, value in parameters.extra.items() if name not in self._fields}:
            request["additionalModelRequestFields"] = {**request.get("additionalModelRequestFields", {}), **other}
        return request


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": part.arguments}}
    if isinstance(part, ToolResult):
        return {"toolResult": {"toolUseId": part.id, "content": [{"text": part.text}]}}
    return {"text": part}


def _converse(client: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    try:
        answer: dict[str, Any] = client.converse(**request)
    except aws.ClientError as error:
        raise _status_error(error) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
        raise ModelError("unauthorized", str(error)) from error
    except (aws.ReadTimeoutError, aws.ConnectTimeoutError) as error:
        raise ModelError("timeout", str(error)) from error
    except aws.ParamValidationError as error:
        raise ModelError("rejected", str(error)) from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise connection_error(error) from error
    except (ResponseParserError, ValueError, AttributeError, TypeError) as error:
        # What is not JSON (a connection that was cut looks like it), or JSON that the SDK's parser trips over.
        raise malformed("the answer cannot be read", error) from error
    return answer


def _status_error(error: Any) -> ModelError:
    said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, message = str(said.get("Code", "")), str(said.get("Message") or error)
    kind = _KINDS.get(code) or kind_of(int(meta.get("HTTPStatusCode", 0)))
    if "model identifier is invalid" in message:
        kind = "not_found"
    return ModelError(kind, f"{code}: {message}", retry_after_s(meta.get("HTTPHeaders", {})))


def _completion(answer: dict[str, Any], model: str, latency_s: float) -> Completion:
    try:
        blocks = answer["output"]["message"]["content"]
        text = "".join(block["text"] for block in blocks if "text" in block)
        calls = [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if "toolUse" in block]
    except (KeyError, TypeError) as error:
        raise malformed("the answer has no message", answer) from error
    usage = answer.get("usage", {})
    # `inputTokens` leaves out what came from the prompt cache or went into it.
    sent = [count(usage.get(name)) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")]
    router = answer.get("trace", {}).get("promptRouter", {})
    return Completion(
        text=calls_as_text(calls) if calls and not text else text,
        model=str(router.get("invokedModelId") or model),
        input_tokens=None if sent[0] is None else sum(number or 0 for number in sent),
        output_tokens=count(usage.get("outputTokens")),
        cost=None,
        latency_s=latency_s,
        finish_reason=_FINISH_REASONS.get(str(answer.get("stopReason")), "other"),
    )


def connect_bedrock(model: str) -> BedrockModel:
    """A model of Bedrock: AWS's own variables and files for credentials and region.

    ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME`` is another address.

    Raises:
        InputError: no region, or a profile that does not exist.
    """
    from botocore.exceptions import BotoCoreError, NoRegionError

    try:
        return BedrockModel(model)
    except NoRegionError as error:
        raise InputError(f"bedrock/{model}: no AWS region is set: set AWS_REGION, e.g. us-east-1") from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"bedrock/{model}: {str(error).rstrip('.')}: set AWS_REGION and credentials") from error
