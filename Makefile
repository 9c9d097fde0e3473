# Every target sets up what it needs; with nothing to do that takes a moment.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
SYSTEM := wordnet-base wordnet-sense-index

.PHONY: install system run test lint bench up clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on this machine; name another with: make PYTHON=python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes the first time)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@touch $@

# Debian's dictionaries, for the tests of synonyms; where they cannot be installed, those tests skip with the reason.
system:
	@dpkg -s $(SYSTEM) >/dev/null 2>&1 \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& { timeout 120 apt-get install -qq -y $(SYSTEM) || { timeout 120 apt-get update -qq && timeout 120 apt-get install -qq -y $(SYSTEM); }; } >/dev/null 2>&1; } \
		|| echo "Not installed: $(SYSTEM). As root: apt-get install $(SYSTEM)"

# The main job on the sample data: no key, no server needed.
run: install
	@$(BIN)/llmops run lifecycle --config configs/lifecycle.yaml

# Servers one after the other; what starts none on two cores at once.
test: install system
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
