"""A process that runs trials of a search, to be killed: ``python -m tests.llmops.tuning.trial_worker FOLDER CONFIG …``.

It writes a line for each trial that it claims and for each that it finishes.
"""

import argparse
import os
import time
from pathlib import Path

from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome


def main() -> None:
    """Claim trials until there is none."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("config", help="SearchConfig as JSON")
    parser.add_argument("name")
    parser.add_argument("--storage", default=None)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--hang-at", type=int, default=0, help="Claim so many trials and never end the last of them.")
    options = parser.parse_args()
    config = SearchConfig.model_validate_json(options.config).model_copy(update={"storage": options.storage})
    search = Search(options.folder, config, TrainingConfig(), options.name)
    claimed = 0
    while (trial := search.claim()) is not None:
        claimed += 1
        say(options.log, f"claimed {trial.number} {trial.attempt}")
        for step in range(1, 4):
            trial.report(step * 10, 1 / step, total_steps=30)
        while claimed == options.hang_at:
            time.sleep(0.1)
        loss = sum(float(value) for value in trial.values.values())
        if search.finish(trial, TrialOutcome(loss, seconds=1.0, tokens=100)):
            say(options.log, f"finished {trial.number} {trial.attempt}")


def say(log: Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes never mix."""
    with log.open("ab", buffering=0) as file:
        file.write(f"{line} {os.getpid()}\n".encode())


if __name__ == "__main__":
    main()
