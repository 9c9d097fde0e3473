"""What a person writes to define a metric of their own: a type and its settings."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmops.evaluation.metrics.metric import Scale

ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
"""``package.module:object``"""


class _Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContainsDefinition(_Definition):
    """Share of answers that contain given texts."""

    type: Literal["contains"] = "contains"
    texts: tuple[str, ...] = Field(min_length=1, description="What is looked for.")
    every: bool = Field(default=False, description="All texts must occur, not just one.")
    ignore_case: bool = Field(default=False, description="Capital and small letters are the same.")


class RegexDefinition(_Definition):
    """Share of answers in which a regular expression of Python is found."""

    type: Literal["regex"] = "regex"
    pattern: str = Field(description="Searched for anywhere; \\A and \\Z hold it to the whole answer.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern


class JsonDefinition(_Definition):
    """Share of answers that are JSON (RFC 8259) and nothing else."""

    type: Literal["json"] = "json"
    fenced: bool = Field(default=False, description="JSON inside a ```json fence counts too, whatever is around it.")


class JsonSchemaDefinition(_Definition):
    """Share of answers that are JSON and valid under a JSON Schema (draft 2020-12)."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any] = Field(alias="schema", description="The schema itself.")
    fenced: bool = Field(default=False, description="JSON inside a ```json fence counts too, whatever is around it.")

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(f"not a JSON Schema at {error.json_path}: {error.message}") from None
        return schema


class ChoiceDefinition(_Definition):
    """Share of answers that choose the right one of several lettered options."""

    type: Literal["choice"] = "choice"
    letters: str = Field(default="ABCDE", pattern=r"^[A-Z]{2,26}$", description="The letters there can be.")


class EmbeddingDefinition(_Definition):
    """Cosine of the embeddings of an answer and of the reference nearest to it.

    The encoder is called with a list of n texts and returns an array (n, d), row i for text i alone.
    """

    type: Literal["embedding"] = "embedding"
    encoder: ImportPath = Field(description="Function of a list of texts that returns an array, one row a text.")


class FunctionDefinition(_Definition):
    """A function of one's own: ``function(output, references, *, input, context, metadata)``.

    It is given the answer (str), the right answers (list[str]), what was asked (str), what it was to be answered from
    (str or None) and the sample's metadata (dict), and returns a float or bool; None: this answer is not measured.
    """

    type: Literal["function"] = "function"
    function: ImportPath = Field(description="Where the function is, package.module:function.")
    scale: Scale = Field(default="fraction", description="What values it can return.")
    higher_is_better: bool = True


class MlflowDefinition(_Definition):
    """A scorer of MLflow: one from ``mlflow.genai.scorers``, or a function under ``@scorer``.

    It is given ``inputs`` {"question", "context"}, ``outputs`` (the answer) and ``expectations`` {"expected_response":
    the first reference, "references": all of them, and the sample's metadata}. "yes" and "no" count as 1 and 0;
    None and a feedback that reports an error: this answer is not measured.
    """

    type: Literal["mlflow"] = "mlflow"
    scorer: ImportPath = Field(description="Where it is, e.g. mlflow.genai.scorers:Correctness.")
    arguments: dict[str, Any] = Field(default={}, description="What the scorer's class is made with.")
    scale: Scale = Field(default="share", description="What values it can return.")
    higher_is_better: bool = True


MetricDefinition = Annotated[
    ContainsDefinition
    | RegexDefinition
    | JsonDefinition
    | JsonSchemaDefinition
    | ChoiceDefinition
    | EmbeddingDefinition
    | FunctionDefinition
    | MlflowDefinition,
    Field(discriminator="type"),
]
"""One metric as it stands in a configuration, e.g. ``{"type": "regex", "pattern": "\\\\d+"}``."""
