# make demo   sets everything up and runs the demonstration
# make test   sets everything up and passes the tests
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types layers docs check format lock clean
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.rbh1-ready
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
WORKERS ?= 2
PYTEST_OPTIONS ?=

# One thread per process: the tests run in WORKERS processes, and linear algebra that starts a
# thread per core in each of them only fights over the cores.
THREADS := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

help: ## say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## make .venv from the lock and install the project in it

# The stamp comes last, so that an interrupted installation is taken up again.
$(STAMP): requirements.lock pyproject.toml tools/find_python
	@test -x $(BIN)/python || { python=$$(tools/find_python) && echo "making $(VENV) with $$python" \
		&& "$$python" -m venv $(VENV); }
	@echo "installing the locked versions (about a minute) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## a simulated observation, end to end, into demo-run/
	$(BIN)/rbh1 demo --out demo-run

test: $(STAMP) ## the tests (PYTEST_OPTIONS="--run-slow -k name" for more or fewer)
	$(THREADS) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_OPTIONS)

lint: $(STAMP) ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict, on the packages
	$(BIN)/mypy

layers: $(STAMP) ## import-linter: imports point down
	$(BIN)/lint-imports

docs: $(STAMP) ## the documentation, into site/
	$(BIN)/mkdocs build --strict

check: lint types layers test ## all of the above but the demo

format: $(STAMP) ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# No index address, no path: the lock must say the same on every machine.
lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	printf '%s\n' '# Versions and hashes for every platform; `make lock` writes this file from pyproject.toml.' \
		> requirements.lock.new
	uv pip compile pyproject.toml --extra study --extra test --extra docs --upgrade \
		--universal --python-version 3.12 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --quiet >> requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## remove the environment, caches and what was built
	rm -rf $(VENV) .venv-uv .cache .coverage .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis build dist site
