"""`mlflow.genai.evaluate` with a predict function over the openai SDK and a scorer of exact match, stored in SQLite."""

import os
import time

from benchmarks.evaluation.job import MODEL, Job, contestant, folder_of


def evaluate(job: Job) -> tuple[float, float]:
    """Evaluate, and give the seconds and the share of right answers."""
    os.environ["MLFLOW_GENAI_EVAL_MAX_WORKERS"] = str(job.concurrency)
    import mlflow
    from mlflow.genai.scorers import scorer
    from openai import OpenAI

    mlflow.set_tracking_uri(f"sqlite:///{folder_of(job) / 'mlflow.db'}")
    mlflow.set_experiment("questions")
    client = OpenAI(base_url=job.base_url, api_key="none", max_retries=0)

    def predict(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content or ""

    @scorer
    def exact_match(outputs: str, expectations: dict[str, str]) -> bool:
        return outputs == expectations["expected_response"]

    data = [
        {"inputs": {"question": question}, "expectations": {"expected_response": right}}
        for question, right in job.pairs()
    ]
    began = time.perf_counter()
    result = mlflow.genai.evaluate(data=data, predict_fn=predict, scorers=[exact_match])
    return time.perf_counter() - began, float(result.metrics["exact_match/mean"])


if __name__ == "__main__":
    contestant(evaluate)
