"""The columns of an answer, wherever it lies: in the journal, in the store, in a run's files."""

import pyarrow as pa

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("repeat", pa.int32(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("error_kind", pa.string()),
        pa.field("error", pa.string()),
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("cost", pa.float64()),
        pa.field("latency_s", pa.float64()),
        pa.field("finish_reason", pa.string()),
        pa.field("model_used", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("answered_at", pa.timestamp("us", tz="UTC")),
        pa.field("run_id", pa.string()),
    ]
)
"""`key` names the request (see `requests.request_key`), `model` is the identity of the model that was asked. `text` is
null exactly where `error_kind` says why there is none. Tokens, `cost` (US dollars) and `latency_s` are null where
nobody knows them. `run_id` is the run that paid for the answer."""

BATCH_SCHEMA = ANSWER_SCHEMA.append(pa.field("question", pa.int32(), nullable=False))
"""An answer in a run's files: `question` is the row of the question that it answers."""

RECORD_SCHEMA = pa.schema(
    [pa.field(one.name, pa.int64() if one.name == "answered_at" else one.type) for one in ANSWER_SCHEMA]
)
"""An answer as the journal writes it: the time in microseconds since 1970."""
