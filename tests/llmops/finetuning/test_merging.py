from pathlib import Path

import pytest

from llmops.errors import InputError
from llmops.finetuning import TrainingConfig, merge_adapter, train
from llmops.llm import LocalModel


def test_merged_weights_answer_like_base_and_adapter(
    toy_base: Path, pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = TrainingConfig(method="lora", max_steps=20, learning_rate=1e-2, batch_size=16)
    adapter = train(toy_base, pairs[:100], [], config, tmp_path / "training").model_path
    merge_adapter(toy_base, adapter, tmp_path / "merged")

    unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(toy_base), adapter)
    before = LocalModel(unmerged, AutoTokenizer.from_pretrained(adapter))
    after = LocalModel.load(tmp_path / "merged")
    inputs = [prompt for prompt, _ in pairs[-30:]]
    answers = after.generate(inputs, max_new_tokens=12)
    assert answers == before.generate(inputs, max_new_tokens=12)
    assert answers != LocalModel.load(toy_base).generate(inputs, max_new_tokens=12)
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    assert [score.nll for score in after.score(pairs[-9:])] == pytest.approx(
        [score.nll for score in LocalModel.load(adapter).score(pairs[-9:])], rel=1e-4
    )
    with pytest.raises(InputError, match="exists already"):
        merge_adapter(toy_base, adapter, tmp_path / "merged")
    with pytest.raises(InputError, match=r"holds no adapter_config\.json"):
        merge_adapter(toy_base, toy_base, tmp_path / "other")
