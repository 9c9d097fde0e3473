"""What botocore's description of a service says of a request: which operation it is, and what is wrong with it."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator


def routed(
    method: str, path: str, operations: Sequence[OperationModel]
) -> tuple[OperationModel, dict[str, Any]] | None:
    """The operation that a request asks for, and what its path holds."""
    for operation in operations:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
        found = re.fullmatch(pattern, path)
        if found and operation.http["method"] == method:
            return operation, {name: unquote(value) for name, value in found.groupdict().items()}
    return None


def wrong_in(value: Any, shape: Shape | None) -> list[str]:
    """What the description does not allow, as the service itself would not."""
    report = ParamValidator().validate(value, shape)
    return [report.generate_report()] if report.has_errors() else _against_patterns(value, shape)


def _against_patterns(value: Any, shape: Any) -> list[str]:
    if shape.type_name == "structure":
        return [text for key, one in value.items() for text in _against_patterns(one, shape.members[key])]
    if shape.type_name == "list":
        return [text for one in value for text in _against_patterns(one, shape.member)]
    if shape.type_name != "string":
        return []
    limits = shape.metadata
    fits = limits.get("min", 0) <= len(value) <= limits.get("max", len(value))
    allowed = not shape.enum or value in shape.enum
    if fits and allowed and re.fullmatch(limits.get("pattern", ".*"), value, re.DOTALL):
        return []
    return [f"{value!r} at {shape.name} is not as its pattern {limits.get('pattern')} has it"]
