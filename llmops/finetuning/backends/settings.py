"""What a person sets for a fine-tuning job beside its hyperparameters: limits, waiting, and each provider's own."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from llmops.finetuning.backends.backend import Waiting


class AzureSettings(BaseModel):
    """Where Azure deploys a fine-tuned model; `AZURE_SUBSCRIPTION_ID` and the like stand for what is unset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription: str | None = Field(default=None, description="Subscription id; AZURE_SUBSCRIPTION_ID when unset.")
    resource_group: str | None = Field(default=None, description="AZURE_RESOURCE_GROUP when unset.")
    account: str | None = Field(
        default=None, description="Name of the resource; the endpoint's first label when unset."
    )
    sku: str = Field(default="standard", description="Kind of deployment: standard, globalstandard, developertier.")
    capacity: int = Field(default=1, ge=1, description="Capacity in the sku's units.")


class BedrockSettings(BaseModel):
    """What Amazon Bedrock needs for a customization job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s3_uri: str | None = Field(
        default=None, pattern=r"^s3://[^/]+", description="s3://BUCKET/PREFIX for data and output."
    )
    role_arn: str | None = Field(default=None, description="Role that Bedrock takes on to read and write there.")
    serving: Literal["on-demand", "provisioned"] = Field(default="on-demand", description="How a custom model answers.")
    model_units: int = Field(default=1, ge=1, description="Provisioned throughput, where that serves it.")
    hyperparameters: dict[str, float] = Field(
        default={}, description="By the model family's own names, e.g. learningRateWarmupSteps, earlyStoppingThreshold."
    )


class VertexSettings(BaseModel):
    """What Vertex AI needs for a tuning job; project and location come from the SDK's own variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gcs_uri: str | None = Field(default=None, pattern=r"^gs://[^/]+", description="gs://BUCKET/PREFIX for the data.")


class OllamaSettings(BaseModel):
    """What a model trained here becomes in Ollama."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str | None = Field(
        default=None,
        description="Ollama's name of the very base model, to import the adapter alone; unset: full weights.",
    )
    system: str | None = Field(default=None, description="System prompt of the Modelfile.")
    quantize: str | None = Field(default=None, description="Quantisation of imported full weights, e.g. q4_K_M.")


class JobSettings(BaseModel):
    """How a fine-tuning job is approved, waited for, cancelled and served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approve_above: float = Field(
        default=10.0, ge=0, description="US dollars above which, or unknown, a person is asked before it starts."
    )
    approve_above_hours: float | None = Field(default=None, gt=0, description="The same for the estimated time.")
    waiting: Waiting = Field(default=Waiting(), description="Polling and deadline.")
    on_cancel: Literal["cancel", "leave"] = Field(
        default="cancel", description="What a cancelled or interrupted flow run does with its job at the provider."
    )
    baseline: str | None = Field(
        default=None, description="The base as a model to ask (provider/model), where that is not its name in training."
    )
    keep_deployment: bool = Field(
        default=False,
        description="Keep a deployment that costs by the hour although its model is not, or no longer, champion.",
    )
    azure: AzureSettings = AzureSettings()
    bedrock: BedrockSettings = BedrockSettings()
    vertex: VertexSettings = VertexSettings()
    ollama: OllamaSettings = OllamaSettings()
