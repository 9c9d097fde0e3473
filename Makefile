# Every target sets up what it needs; with nothing to do that takes a moment.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install run test lint bench up clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on this machine; name another with: make PYTHON=python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes the first time)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@touch $@

# The main job on the sample data: no key, no server needed.
run: install
	@$(BIN)/llmops run lifecycle --config configs/lifecycle.yaml

# Servers one after the other; what starts none on two cores at once.
test: install
	$(BIN)/python -m pytest -m "not service" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m service

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks.training_throughput
	$(BIN)/python -m benchmarks.near_duplicates
	$(BIN)/python -m benchmarks.dataset_preparation

up: install
	@$(BIN)/llmops up

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
