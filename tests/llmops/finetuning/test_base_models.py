import multiprocessing
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from llmops.errors import InputError
from llmops.finetuning import ScratchRecipe, resolve_base_model
from llmops.finetuning.base_models import _keep

SMALL = ScratchRecipe(vocabulary=300, hidden=16, layers=1, heads=1, intermediate=16)


def test_scratch_is_made_once_for_the_same_texts_and_sizes(tmp_path: Path) -> None:
    def scratch(recipe: ScratchRecipe, *texts: str) -> Any:
        return resolve_base_model("scratch", models_dir=tmp_path, scratch=recipe, texts=texts)

    first = scratch(SMALL, "alpha", "beta")
    again = scratch(SMALL, "alpha", "beta")
    assert (first.reused, again.reused) == (False, True)
    assert first.path == again.path == tmp_path / f"scratch-{first.digest[:16]}"
    assert scratch(SMALL, "alpha", "gamma").path != first.path
    assert scratch(SMALL.model_copy(update={"seed": 1}), "alpha", "beta").path != first.path
    weights = (first.path / "model.safetensors").read_bytes()
    shutil.rmtree(first.path)
    assert (scratch(SMALL, "alpha", "beta").path / "model.safetensors").read_bytes() == weights
    with pytest.raises(InputError, match="made from training texts"):
        scratch(SMALL)


def test_scratch_has_the_sizes_of_its_recipe(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    recipe = ScratchRecipe()
    texts = [f"{a} {b} {a + b} {a * b}" for a in range(60) for b in range(60)]
    path = resolve_base_model("scratch", models_dir=tmp_path, texts=texts).path
    parameters = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(path).parameters())
    # Tied embeddings, four layers of attention (4 h^2), feed-forward (3 h f) and two norms, one last norm.
    hidden, width = recipe.hidden, recipe.intermediate
    assert parameters == 1000 * hidden + 4 * (4 * hidden**2 + 3 * hidden * width + 2 * hidden) + hidden
    assert AutoConfig.from_pretrained(path).vocab_size == len(AutoTokenizer.from_pretrained(path)) == 1000


def test_text_never_seen_survives_the_tokenizer(toy_base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(toy_base)
    text = "Prix: 30 € – naïve 东京\tline\nbreak 🙂"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tiny_is_built_by_its_recipe_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []

    def build(folder: Path, recipe: object, on_progress: Any) -> None:
        on_progress(1, 1, {"loss": 1.0})
        folder.mkdir()
        built.append(folder)

    fake = types.SimpleNamespace(TinyRecipe=object, tiny_digest=lambda recipe: "d" * 64, build_tiny=build)
    monkeypatch.setitem(sys.modules, "llmops.finetuning.tiny", fake)
    told: list[int] = []
    bases = [
        resolve_base_model("tiny", models_dir=tmp_path, on_progress=lambda done, *_: told.append(done))
        for _ in range(2)
    ]
    assert [base.reused for base in bases] == [False, True]
    assert bases[0].path == tmp_path / ("tiny-" + "d" * 16)
    assert (len(built), told) == (1, [1])


def test_folder_is_used_where_it_is(toy_base: Path, tmp_path: Path) -> None:
    base = resolve_base_model(str(toy_base), models_dir=tmp_path)
    assert (base.path, base.reused) == (toy_base, True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", "tokenizer"])
def test_folder_that_lacks_something_is_refused(toy_base: Path, tmp_path: Path, lacking: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(toy_base, folder, ignore=shutil.ignore_patterns(f"{lacking}*"))
    said = lacking.split(".")[0] if lacking != "model.safetensors" else "weights"
    with pytest.raises(InputError, match=f"^model .* holds no {said}"):
        resolve_base_model(str(folder), models_dir=tmp_path)


def test_model_that_the_hub_does_not_give_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("cannot find the files and the hub is offline\nmore\nlines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match="Hugging Face hub gave none") as error:
        resolve_base_model("tinny", models_dir=tmp_path)
    assert "\n" not in str(error.value)
    # Whoever evaluates a model has named no base.
    assert str(error.value).startswith('model "tinny" is neither "tiny"')


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^model .* neither"):
        resolve_base_model(str(tmp_path / "no" / "such" / "folder"), models_dir=tmp_path)


def test_registered_model_is_fetched_by_alias_and_kept_by_version(
    toy_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from transformers import AutoModelForCausalLM, AutoTokenizer

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    with mlflow.start_run():
        mlflow.transformers.log_model(
            {
                "model": AutoModelForCausalLM.from_pretrained(toy_base),
                "tokenizer": AutoTokenizer.from_pretrained(toy_base),
            },
            name="model",
            task="text-generation",
            registered_model_name="toy",
            pip_requirements=["torch", "transformers"],
        )
    mlflow.MlflowClient().set_registered_model_alias("toy", "champion", "1")
    first = resolve_base_model("models:/toy@champion", models_dir=tmp_path / "models")
    again = resolve_base_model("models:/toy/1", models_dir=tmp_path / "models")
    assert (first.name, first.reused, again.reused) == ("models:/toy/1", False, True)
    assert again.path == first.path
    want, got = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (toy_base, first.path))
    assert all(bool((want[name] == got[name]).all()) for name in want)
    assert AutoTokenizer.from_pretrained(first.path).chat_template
    assert sorted(path.name for path in (tmp_path / "models").iterdir() if path.is_dir()) == [first.path.name]
    for wrong, message in [
        ("models:/toy@nobody", "nobody"),
        ("models:/none/1", "none"),
        ("models:/toy", "names no version"),
    ]:
        with pytest.raises(InputError, match=f"^model models:/.*{message}"):
            resolve_base_model(wrong, models_dir=tmp_path / "models")


def _build_slowly(models: str, log: str) -> None:
    def build(folder: Path) -> None:
        with Path(log).open("a") as file:
            file.write("built\n")
        folder.mkdir()

    _keep(Path(models), "tiny", "e" * 64, build)


def test_two_processes_make_a_model_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    arguments = (str(tmp_path / "models"), str(tmp_path / "log"))
    processes = [spawn.Process(target=_build_slowly, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "log").read_text() == "built\n"


def test_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        folder.mkdir()
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        _keep(tmp_path, "tiny", "f" * 64, build)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
