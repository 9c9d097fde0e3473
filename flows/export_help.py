"""What `llmops export --help` says below its options."""

EXPORT_HELP = """[bold]Formats[/bold]

jsonl, json, csv, tsv, parquet  ·  all that a sample has; what is exported can be prepared again

openai, azure, vertex, bedrock, bedrock-claude, bedrock-conversation  ·  fine-tuning files, checked by the rules there

sharegpt, alpaca  ·  for training tools

A file name that ends in .gz or .zst is packed.

adapter, safetensors, gguf  ·  of a model: its adapter, full weights with tokenizer, or one file for llama.cpp

[bold]Examples[/bold]

llmops export support --format openai --to train.jsonl  ·  the training split of the latest version

llmops export support@3 --split validation --format vertex --to validation.jsonl

llmops export support --split all --format parquet --to support.parquet

llmops export support --format bedrock --to titan.jsonl --config configs/export.yaml  ·  another model's limits

llmops export models:/support@champion --format safetensors --to support-weights  ·  a model's full weights
"""
