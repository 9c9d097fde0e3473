"""Trained on this machine, served by Ollama: the adapter on a base that Ollama has, or full weights.

Full weights are uploaded as one GGUF file where llama.cpp's converter is at hand, which every Ollama takes, else as
safetensors, which Ollama converts itself for the architectures that it knows. Adapters are taken up to version 0.34.0.

https://github.com/ollama/ollama/blob/main/docs/api.md (Create a Model, Push a Blob)
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops.digests import content_digest, file_digest
from llmops.errors import InputError
from llmops.finetuning.backends.backend import BackendError, TunedModel
from llmops.finetuning.backends.local import LocalBackend
from llmops.finetuning.backends.ollama_template import modelfile, ollama_template, stop_texts
from llmops.finetuning.backends.settings import OllamaSettings
from llmops.finetuning.backends.training_folder import request_of
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.gguf import find_converter, write_gguf
from llmops.llm.providers.addresses import without_login

if TYPE_CHECKING:
    from ollama import Client, ResponseError

WITHOUT_ADAPTERS = (0, 34, 1)
"""The first version of Ollama that takes no adapters any more (ollama/ollama#14969)."""
# The files of a transformers folder that Ollama's own command uploads.
_UPLOADED = ("*.safetensors", "*.json", "tokenizer.model", "chat_template.jinja")
# How much of a conversation Ollama keeps unless it is told otherwise.
_DEFAULT_CONTEXT = 4096
_log = logging.getLogger(__name__)


class OllamaBackend(LocalBackend):
    """Trainings on this machine whose models are imported into the Ollama server at ``OLLAMA_HOST``."""

    name = "ollama"

    def __init__(
        self,
        folder: Path,
        settings: OllamaSettings | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(folder)
        self.settings = settings or OllamaSettings()
        self._say = say
        self._client = _connect()
        self.endpoint = without_login(str(self._client._client.base_url)).rstrip("/")

    def check(self, base_model: str, training: TrainingConfig) -> None:
        """Refuse what cannot be trained or imported, before it is trained.

        Raises:
            InputError: it cannot be trained here; Ollama has no such base, or takes no adapters.
            BackendError: Ollama does not answer.
        """
        super().check(base_model, training)
        with self._asked("version"):
            version = str(self._ask("GET", "/api/version").json()["version"])
        if self.settings.base is None:
            return
        if training.method == "full":
            raise InputError("job.ollama.base is for adapters, and method full trains none: unset it")
        if _numbers(version) >= WITHOUT_ADAPTERS:
            raise InputError(
                f"Ollama {version} at {self.endpoint} takes no adapters any more (up to 0.34.0 it did): unset "
                "job.ollama.base to import the full weights"
            )
        with self._asked(f"base {self.settings.base}"):
            self._client.show(self.settings.base)

    def deploy(self, model: TunedModel, name: str) -> TunedModel:
        """Import the model under that name; one that is there and is another is replaced.

        Raises:
            BackendError: Ollama does not answer, has no such base, cannot use the weights, or has no room for them.
        """
        job = self.folder / model.job_id
        made = self._create_arguments(model.job_id)
        (job / "Modelfile").write_text(f"# ollama create {name} -f Modelfile\n{made.pop('modelfile')}")
        blobs = made.pop("blobs")
        note, wanted = job / "ollama.json", content_digest(made)
        imported = json.loads(note.read_text()) if note.is_file() else {}
        there = self._digest(name)
        if there is None or imported.get(name) != [wanted, there]:
            for blob in blobs:
                self._upload(blob)
            with self._asked(f"model {name}"):
                for progress in self._client.create(name, stream=True, **made):
                    self._say(progress.status or "")
            note.write_text(json.dumps({**imported, name: [wanted, self._digest(name)]}))
        return model.model_copy(update={"asked_as": f"ollama/{name}"})

    def undeploy(self, model: TunedModel) -> TunedModel:
        """Delete the model in Ollama; its training stays, and deploying imports it again."""
        if model.asked_as is not None:
            self._remove(model.asked_as.removeprefix("ollama/"))
        return model.model_copy(update={"asked_as": None})

    def delete(self, model: TunedModel) -> None:
        """Delete the model in Ollama and its training here."""
        self.undeploy(model)
        super().delete(model)

    def fetch(self, job_id: str, folder: Path) -> list[Path]:
        """What a training on this machine leaves, and the Modelfile."""
        written = [*super().fetch(job_id, folder), folder / "Modelfile"]
        text: str = self._create_arguments(job_id)["modelfile"]
        written[-1].write_text(text.replace("ADAPTER ./model\n", "ADAPTER ./adapter\n"))
        return written

    def _create_arguments(self, job_id: str) -> dict[str, Any]:
        """What Ollama is asked to create, the blobs that it needs for that, and the same as a Modelfile."""
        from transformers import AutoConfig, AutoTokenizer

        from llmops.llm.chat_format import ensure_chat_template
        from llmops.llm.local_model import positions_of

        job = self.folder / job_id
        request = request_of(job)
        tokenizer = AutoTokenizer.from_pretrained(job / "model")
        ensure_chat_template(tokenizer)
        template = ollama_template(tokenizer)
        if template is None:
            _log.warning("the chat template of %s cannot be said in Ollama's language; Ollama guesses one", job)
        positions = positions_of(AutoConfig.from_pretrained(request.base_model))
        # Who asks for nothing else is answered as the model was evaluated: greedily, with no penalty of Ollama's own.
        parameters: dict[str, Any] = {
            "temperature": 0,
            "repeat_penalty": 1.0,
            "num_predict": min(request.training.max_length, positions),
            "stop": stop_texts(tokenizer),
        }
        if positions < _DEFAULT_CONTEXT:
            parameters["num_ctx"] = positions
        system = self.settings.system
        made: dict[str, Any] = {"template": template, "system": system, "parameters": parameters}
        if self.settings.base is not None:
            files = [job / "model" / name for name in ("adapter_config.json", "adapter_model.safetensors")]
            made |= {"from_": self.settings.base, "adapters": _digests(files)}
            source, adapter = self.settings.base, "./model"
        else:
            files = self._weight_files(job_id)
            made |= {"files": _digests(files), "quantize": self.settings.quantize}
            source, adapter = f"./{(files[0] if len(files) == 1 else files[0].parent).relative_to(job)}", None
        made["blobs"] = [str(file) for file in files]
        made["modelfile"] = modelfile(source, adapter, template, system, parameters)
        return made

    def _weight_files(self, job_id: str) -> list[Path]:
        weights = self.merged(job_id)
        converter = find_converter()
        if converter is None:
            return sorted({file for pattern in _UPLOADED for file in weights.glob(pattern)})
        file = weights.with_suffix(".gguf")
        if not file.exists():
            self._say("converting to GGUF")
            write_gguf(weights, file, converter)
        return [file]

    def _upload(self, file: str) -> None:
        import ollama

        digest = f"sha256:{file_digest(Path(file))}"
        try:
            with self._asked(digest):
                self._ask("HEAD", f"/api/blobs/{digest}")
        except BackendError as error:
            if not isinstance(error.__cause__, ollama.ResponseError) or error.kind != "missing":
                raise
            self._say(f"uploading {Path(file).name}")
            with self._asked(f"file {Path(file).name}"):
                self._client.create_blob(file)

    def _ask(self, method: str, path: str) -> Any:
        """A request that the SDK has no method for, with its connection and its errors."""
        return self._client._request_raw(method, path)  # type: ignore[no-untyped-call]

    def _digest(self, name: str) -> str | None:
        """The digest of a model that Ollama has."""
        with self._asked("models"):
            found = {model.model: model.digest for model in self._client.list().models}
        return found.get(name if ":" in name else f"{name}:latest")

    def _remove(self, name: str) -> None:
        try:
            with self._asked(f"model {name}"):
                self._client.delete(name)
        except BackendError as error:
            if error.kind != "missing":
                raise

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Turns the failures of a request about `what` into a `BackendError`."""
        import httpx
        import ollama

        try:
            yield
        except (ConnectionError, httpx.TransportError) as error:
            raise BackendError(
                f"Ollama does not answer at {self.endpoint}: start it with `ollama serve`, or set OLLAMA_HOST",
                "unreachable",
            ) from error
        except ollama.ResponseError as error:
            raise _refusal(error, what, self.endpoint) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(
                f"{self.endpoint} does not answer as Ollama does: see OLLAMA_HOST", "unreachable"
            ) from error


def _connect() -> "Client":
    import httpx

    try:
        from ollama import Client
    except ImportError as error:
        raise InputError("back end ollama needs the ollama SDK: pip install 'llmops[ollama]'") from error
    try:
        return Client()
    except (ValueError, httpx.InvalidURL) as error:
        raise InputError(f"back end ollama: {error}: see OLLAMA_HOST") from error


def _refusal(error: "ResponseError", what: str, endpoint: str) -> BackendError:
    """Ollama's refusal in one line, with what to do."""
    said = " ".join(str(error.error).split()) or f"status {error.status_code}"
    lower = said.lower()
    if "unsupported architecture" in lower or "mlx" in lower:
        todo = "this Ollama cannot convert the weights: install llama.cpp's converter and name its folder in LLAMA_CPP"
    elif "adapters are no longer supported" in lower:
        todo = "unset job.ollama.base to import the full weights"
    elif "no space left" in lower:
        todo = "make room on its disk, and run the same command again"
    elif error.status_code == 404 or "not found" in lower or "does not exist" in lower:
        name = what.removeprefix("base ")
        pull = f": `ollama pull {name}`" if what.startswith("base ") else ""
        return BackendError(f"Ollama at {endpoint} has no {what} ({said}){pull}", "missing")
    elif error.status_code == 429 or error.status_code >= 500:
        return BackendError(f"Ollama at {endpoint} failed at {what}: {said}", "unreachable")
    else:
        todo = "see the log of its server"
    return BackendError(f"Ollama at {endpoint} refuses {what}: {said}; {todo}", "refused")


def _digests(files: list[Path]) -> dict[str, str]:
    return {file.name: f"sha256:{file_digest(file)}" for file in files}


def _numbers(version: str) -> tuple[int, ...]:
    """A version as numbers; anything else in it counts as nothing.

    >>> _numbers("0.34.1-rc2")
    (0, 34, 1)
    """
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())
