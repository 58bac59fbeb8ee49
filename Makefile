# Everything here makes what it needs: a person with Python 3.11+ and make types `make demo`, `make test` or `make check`.

SHELL := /bin/bash
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.14; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Twice the processors of CI, because tests with real servers wait most of their time.
WORKERS ?= 4
PATHS := resilience middleware tests benchmarks examples

.PHONY: help demo test unit check format lint types imports bench matrix lowest newest servers clean

help:  ## Show what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.ready  ## Run the main job: a guarded shop, its failing payments service, its alerts
	$(BIN)/resilience demo

test: $(VENV)/.dev servers  ## Run every test
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

unit: $(VENV)/.dev  ## Run the tests that need no server program
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --ignore tests/integration --ignore tests/browser --ignore tests/faults $(ARGS)

check: lint types imports test  ## Format, lint, types, import contracts and tests

format: $(VENV)/.dev  ## Put the code into form
	$(BIN)/ruff format $(PATHS)
	$(BIN)/ruff check --fix $(PATHS)

lint: $(VENV)/.dev  ## Check form and lint
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)

types: $(VENV)/.dev  ## Check types, ours and those a user sees
	$(BIN)/mypy
	$(BIN)/python -m tests.packaging.public_types

imports: $(VENV)/.dev  ## Check that imports go down only
	$(BIN)/lint-imports

bench: .venv-bench/.peers  ## Measure against the peers, in an environment of its own
	.venv-bench/bin/python benchmarks/compare.py $(ARGS)

matrix: $(VENV)/.dev  ## Import and unit tests on the other interpreters found here
	./.ci/matrix $(BIN)

lowest:  ## Tests of middleware and clients with the lowest versions allowed, in a fresh environment
	./.ci/versions lowest $(PYTHON) -n $(WORKERS) $(ARGS)

newest:  ## The same tests with the newest versions
	./.ci/versions newest $(PYTHON) -n $(WORKERS) $(ARGS)

servers:  ## Install the real servers that integration tests use (Debian, as root); else say which are missing
	@./.ci/servers

clean:  ## Remove what was made here
	rm -rf .venv* .build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

$(VENV)/.ready: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

.venv-bench/.peers: pyproject.toml
	$(MAKE) VENV=.venv-bench .venv-bench/.dev
	# One by one: a peer that cannot be installed here is left out, and named by the benchmark.
	@for peer in $$(.venv-bench/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["peers"])'); do \
		.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check "$$peer" || echo "$$peer could not be installed" >&2; done
	@touch $@
