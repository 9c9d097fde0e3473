"""Training files: what is in them, what is refused before anything is uploaded, and that the same stays the same."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from llmops.data import DatasetStore
from llmops.data.exports import FormatLimits
from llmops.data.findings import Finding
from llmops.data.samples import sample_table
from llmops.data.token_counts import token_counts
from llmops.errors import InputError
from llmops.finetuning.jobs.files import remove_training_files, write_training_files


def samples(count: int, start: int = 0) -> pa.Table:
    numbers = range(start, start + count)
    texts = ([f"question {number}" for number in numbers], [f"answer {number}" for number in numbers])
    return sample_table(
        **dict(zip(("input", "expected"), (pa.chunked_array([part], pa.string()) for part in texts), strict=True))
    )


def test_the_records_are_those_of_the_format_in_the_order_of_the_version(tmp_path: Path) -> None:
    files = write_training_files(
        {"train": samples(10), "validation": samples(2, 100)}, "openai", tmp_path / "new" / "files", what="qa@1"
    )
    lines = files.training.read_text().splitlines()
    assert json.loads(lines[3]) == {
        "messages": [{"role": "user", "content": "question 3"}, {"role": "assistant", "content": "answer 3"}]
    }
    assert files.validation is not None
    assert [json.loads(line)["messages"][0]["content"] for line in files.validation.read_text().splitlines()] == [
        "question 100",
        "question 101",
    ]
    assert (files.examples, files.validation_examples) == (10, 2)


def test_tokens_are_estimated_at_four_bytes_each_without_a_tokenizer(tmp_path: Path) -> None:
    files = write_training_files({"train": samples(10)}, "openai", tmp_path, what="qa@1")
    # "question 3\nanswer 3" has 19 bytes: 5 tokens when rounded up.
    assert (files.tokens, files.tokens_estimated) == (50, True)
    assert (files.validation, files.validation_examples) == (None, 0)


def test_tokens_are_counted_by_the_models_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    files = write_training_files({"train": samples(10)}, "openai", tmp_path, what="qa@1", tokenizer=str(tmp_path))
    assert (files.tokens, files.tokens_estimated) == (40, False)  # four words each
    assert token_counts(pa.chunked_array([["question 3\nanswer 3"]]), str(tmp_path)).tolist() == [4]


@pytest.mark.parametrize("format", ["openai", "azure", "vertex", "bedrock-claude", "jsonl"])
def test_a_version_gives_the_same_files_however_it_is_read(tmp_path: Path, format: str) -> None:
    train, validation = samples(40), samples(4, 100)
    splits = pa.array(["train"] * 40 + ["validation"] * 4)
    table = pa.concat_tables([train, validation])
    table = table.set_column(table.schema.get_field_index("split"), "split", splits)
    store = DatasetStore(tmp_path / "datasets")
    version = store.publish("qa", table)
    parts = {split: store.batches(version, split) for split in ("train", "validation")}
    once = write_training_files(parts, format, tmp_path / "once", what=version.uri)
    again = write_training_files(parts, format, tmp_path / "again", what=version.uri)
    assert once.validation is not None
    assert again.validation is not None
    for one, two in ((once.training, again.training), (once.validation, again.validation)):
        assert one.name == two.name
        assert one.read_bytes() == two.read_bytes()
        assert hashlib.sha256(one.read_bytes()).hexdigest()[:16] in one.name
    if format != "jsonl":  # which also carries the name of the split
        whole = write_training_files({"train": train.to_batches(7)}, format, tmp_path / "parts", what="qa@1")
        assert whole.training.name == once.training.name
    other = write_training_files({"train": samples(41)}, format, tmp_path / "once", what="qa@2")
    assert other.training.name != once.training.name
    assert {file.name for file in (tmp_path / "once").iterdir()} == {
        once.training.name,
        once.validation.name,
        other.training.name,
    }


def test_only_as_many_validation_samples_as_the_provider_takes_spread_over_all(tmp_path: Path) -> None:
    noted: list[Finding] = []
    files = write_training_files(
        {"train": samples(3), "validation": samples(101)},
        "vertex",
        tmp_path,
        what="qa@1",
        limits=FormatLimits(maximum_validation_count=5),
        warn=noted.append,
    )
    assert files.validation is not None
    asked = [json.loads(line)["contents"][0]["parts"][0]["text"] for line in files.validation.read_text().splitlines()]
    assert asked == [f"question {number}" for number in (0, 25, 50, 75, 100)]
    assert files.validation_examples == 5
    assert [finding.message for finding in noted] == [
        "5 of 101 validation samples are used, the most that the provider takes"
    ]


@pytest.mark.parametrize("parts", [{}, {"train": samples(0)}, {"validation": samples(5)}])
def test_nothing_to_train_on_is_refused(tmp_path: Path, parts: dict[str, pa.Table]) -> None:
    with pytest.raises(InputError, match="qa@1 has no samples in its split `train`"):
        write_training_files(parts, "openai", tmp_path / "files", what="qa@1")
    assert not list(tmp_path.iterdir())


def test_what_the_provider_would_refuse_is_refused_here_with_nothing_left_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qa@1 \(train\) cannot be trained on as openai: 9 samples where at least 10"):
        write_training_files({"train": samples(9)}, "openai", tmp_path, what="qa@1")
    empty = sample_table(input=pa.chunked_array([[""] * 2]), expected=pa.chunked_array([["a", "b"]]))
    with pytest.raises(
        InputError, match=r"qa@1 \(validation\) cannot .* sample [0-9a-f]+: its input is empty"
    ) as error:
        write_training_files({"train": samples(10), "validation": empty}, "openai", tmp_path, what="qa@1")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="larger than the 100 bytes"):
        write_training_files(
            {"train": samples(10)}, "openai", tmp_path, what="qa@1", limits=FormatLimits(maximum_bytes=100)
        )
    with pytest.raises(InputError, match="no format 'gguf'"):
        write_training_files({"train": samples(10)}, "gguf", tmp_path, what="qa@1")
    assert not list(tmp_path.iterdir())


def test_what_the_provider_would_change_is_a_warning(tmp_path: Path) -> None:
    noted: list[Finding] = []
    limits = FormatLimits(maximum_tokens=2, too_long="cut")
    write_training_files({"train": samples(1)}, "openai", tmp_path, what="qa@1", limits=limits, warn=noted.append)
    assert [finding.rule for finding in noted] == ["too-many-tokens"]
    assert noted[0].severity == "warning"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/files: cannot be created"):
        write_training_files({"train": samples(10)}, "openai", tmp_path / "file" / "files", what="qa@1")


def test_they_are_removed_when_the_job_has_ended(tmp_path: Path) -> None:
    of_the_job = tmp_path / "0123456789abcdef"
    splits = {"train": samples(10), "validation": samples(1)}
    remove_training_files(write_training_files(splits, "openai", of_the_job, what="qa@1"))
    assert not list(tmp_path.iterdir())
    files = write_training_files(splits, "openai", of_the_job, what="qa@1")
    (of_the_job / "another").touch()
    remove_training_files(files)
    remove_training_files(files)
    assert [path.name for path in of_the_job.iterdir()] == ["another"]
