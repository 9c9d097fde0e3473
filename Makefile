# Every target sets up what it needs; with nothing to do that takes a moment.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
SYSTEM := wordnet-base wordnet-sense-index postgresql

.PHONY: install system emulators run test lint bench up clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on this machine; name another with: make PYTHON=python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a few minutes the first time)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@touch $@

# Debian's dictionaries, for the tests of synonyms, and PostgreSQL, for those of a search on several machines (they start
# their own server: the package shall start none); where these cannot be installed, their tests skip with the reason.
CLUSTERS := /etc/postgresql-common/createcluster.conf
system:
	@dpkg -s $(SYSTEM) >/dev/null 2>&1 \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& { test -e $(CLUSTERS) || { mkdir -p $(dir $(CLUSTERS)) && echo "create_main_cluster = false" >$(CLUSTERS); }; } \
			&& { timeout 120 apt-get install -qq -y $(SYSTEM) || { timeout 120 apt-get update -qq && timeout 120 apt-get install -qq -y $(SYSTEM); }; } >/dev/null 2>&1; } \
		|| echo "Not installed: $(SYSTEM). As root: apt-get install $(SYSTEM)"

# Third-party emulators of model providers; where npm is missing, the tests that ask them skip with the reason.
emulators:
	@command -v npm >/dev/null || { echo "Not installed: npm. Tests against emulated providers will skip."; exit 0; }; \
	test tests/emulators/node_modules/.package-lock.json -nt tests/emulators/package-lock.json \
		|| npm ci --prefix tests/emulators --no-audit --no-fund --silent \
		|| echo "The emulators could not be installed: tests against emulated providers will skip."

# The main job on the sample data: no key, no server needed.
run: install
	@$(BIN)/llmops run lifecycle --config configs/lifecycle.yaml

# Two files at a time, each in the process that has its servers, the slowest first.
test: install system emulators
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks.training_throughput
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.search_overhead
	$(BIN)/python -m benchmarks.near_duplicates
	$(BIN)/python -m benchmarks.dataset_preparation
	$(BIN)/python -m benchmarks.evaluation

up: install
	@$(BIN)/llmops up

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
