"""What AWS's SDK raises, as one line: what failed, where, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from llmops.finetuning.backends.backend import BackendError

Kind = Literal["credentials", "rate limit", "unreachable", "refused", "missing"]

# https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html and
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, what the status does not say or says otherwise.
_KINDS: dict[str, Kind] = {
    "ExpiredTokenException": "credentials",
    "ExpiredToken": "credentials",
    "InvalidToken": "credentials",
    "UnrecognizedClientException": "credentials",
    "InvalidClientTokenId": "credentials",
    "IncompleteSignature": "credentials",
    "InvalidSignatureException": "credentials",
    "ThrottlingException": "rate limit",
    "Throttling": "rate limit",
    "SlowDown": "rate limit",
    "ServiceUnavailableException": "unreachable",
    "RequestTimeout": "unreachable",
    "ResourceNotFoundException": "missing",
}
_ADVICE: dict[Kind, str] = {
    "credentials": "renew the AWS credentials, or allow it to them",
    "rate limit": "try again in a while, or have the quota raised",
    "unreachable": "try again in a while, and look at the network and AWS_ENDPOINT_URL",
    "refused": "change what is asked for",
    "missing": "look at its name and at AWS_REGION",
}


@contextmanager
def aws_failures(what: str, where: str) -> Iterator[None]:
    """Turn what the SDK raises inside into a `BackendError`.

    Args:
        what: the step, e.g. ``starting the job llmops-…-1``.
        where: service and address.
    """
    from boto3.exceptions import S3UploadFailedError
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    def failed(kind: Kind, reason: object) -> BackendError:
        line = " ".join(str(reason).split()).rstrip(".")
        return BackendError(f"{what} failed at {where}: {line}; {_ADVICE[kind]}", kind)

    try:
        yield
    except aws.ClientError as error:
        raise failed(_kind_of(error), _said(error)) from error
    except S3UploadFailedError as error:
        # It wraps the answer, and names it only in its text.
        answer = error.__context__
        known = isinstance(answer, aws.ClientError)
        raise failed(_kind_of(answer) if known else "refused", _said(answer) if known else error) from error
    except (
        aws.NoCredentialsError,
        aws.PartialCredentialsError,
        aws.CredentialRetrievalError,
        aws.TokenRetrievalError,
        aws.SSOError,
    ) as error:
        raise failed("credentials", error) from error
    except (aws.HTTPClientError, aws.ConnectionError, ResponseParserError) as error:
        raise failed("unreachable", error) from error
    except aws.BotoCoreError as error:
        raise failed("refused", error) from error


def _kind_of(error: Any) -> Kind:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if kind := _KINDS.get(_code(error)):
        return kind
    if status in (401, 403):
        return "credentials"
    if status == 429:
        return "rate limit"
    if status >= 500:
        return "unreachable"
    return "missing" if status == 404 else "refused"


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _said(error: Any) -> str:
    return f"{_code(error)}: {error.response.get('Error', {}).get('Message') or error}"
