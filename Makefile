# The commands of this checkout.  Both build their own environment in .venv and are quick the second time.
# The first of these that is there, works and is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin

OURS := . plugins/db plugins/mq plugins/web examples/orders/orders-api examples/orders/orders-workers
# Tested but not installed, as being installed is what puts them in charge.
OVERRIDES := $(patsubst %/setup.cfg,%,$(wildcard plugins/db-*/setup.cfg plugins/mq-*/setup.cfg))
METADATA := $(foreach folder,$(OURS),$(folder)/setup.cfg $(folder)/pyproject.toml)
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests

.PHONY: run test test-rabbitmq check format docs test-all clean

run: $(RUNS)  ## the example application, on the embedded SQLite defaults
	@sh examples/orders/run.sh $(BIN)/conductor run $(ARGS)

test: $(TESTS)  ## the tests
	$(BIN)/python -m pytest $(ARGS)

test-rabbitmq: $(TESTS)  ## the tests of conductor-mq-rabbitmq, which restart a server that takes its time
	$(BIN)/python -m pytest plugins/mq-rabbitmq $(ARGS)

check: $(TESTS)  ## formatting, lint, types, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	for folder in $(OVERRIDES); do MYPYPATH=$$folder $(BIN)/mypy $$folder || exit 1; done
	$(BIN)/pyright
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

format: $(TESTS)  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(TESTS)  ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

test-all: $(TESTS)  ## the tests on every Python that is there
	$(BIN)/nox

clean:  ## remove what the others made
	rm -rf $(VENV) .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis docs/_build build .cache
	find . -name '*.egg-info' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Conductor needs Python 3.11 or newer with venv; say: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(RUNS): $(METADATA) | $(VENV)/bin/python
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(foreach folder,$(OURS),-e $(folder)) "rich>=13"
	@touch $@

$(TESTS): $(METADATA) requirements-dev.txt | $(RUNS)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@touch $@
