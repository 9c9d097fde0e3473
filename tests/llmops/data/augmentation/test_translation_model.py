"""Loading and looping, with a small encoder-decoder of random weights; what it writes means nothing."""

from pathlib import Path

import pyarrow as pa
import pytest

from llmops.data.augmentation import AugmentationConfig, Augmenter, BackTranslationConfig, FilterConfig
from llmops.data.augmentation.translation_model import TranslationModel
from llmops.data.samples import sample_table
from llmops.errors import InputError

WORDS = ["where", "is", "my", "card", "now", "please", "send", "the", "new", "one", "to", "me"]
VOCABULARY = [*WORDS, "</s>", "<pad>", "<unk>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian model whose vocabulary is a dozen words."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 12)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=32
    )
    config = transformers.MarianConfig(
        vocab_size=len(VOCABULARY),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=VOCABULARY.index("<pad>"),
        eos_token_id=VOCABULARY.index("</s>"),
        decoder_start_token_id=VOCABULARY.index("<pad>"),
        forced_eos_token_id=None,
        num_beams=2,
    )
    path = tmp_path_factory.mktemp("marian")
    transformers.MarianMTModel(config).save_pretrained(path)
    fast.save_pretrained(path)
    return path


def test_batches_do_not_change_translations(folder: Path) -> None:
    texts = ["where is my card", "send", "please send the new one to me now", ""]
    model = TranslationModel.load(folder)
    together = model.generate(texts, max_new_tokens=6)
    model.batch_size = 1
    assert model.generate(texts, max_new_tokens=6) == together
    assert all(len(text.split()) <= 6 and set(text.split()) <= set(VOCABULARY) for text in together)


def test_there_and_back_through_two_folders(folder: Path) -> None:
    texts = pa.chunked_array([["where is my card", "send the new one", "please now"]])
    table = sample_table(input=texts, expected=pa.chunked_array([["a", "b", "c"]]))
    translation = BackTranslationConfig(share=1, there=folder, back=folder, max_new_tokens=6)
    loose = FilterConfig(similarity=(0, 1), length_ratio=(0, 100))
    result = Augmenter(AugmentationConfig(back_translation=translation, filters=loose)).augment(table)
    model = TranslationModel.load(folder)
    expected = model.generate(model.generate(texts.to_pylist(), max_new_tokens=6), max_new_tokens=6)
    assert sum(result.made.values()) + sum(result.rejected.values()) == 3
    assert set(result.table["input"].to_pylist()) <= set(expected)


def test_folders_without_a_translation_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no translation model"):
        TranslationModel.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="cannot be loaded as a translation model") as raised:
        TranslationModel.load(tmp_path)
    assert "\n" not in str(raised.value)
