# make demo   sets everything up and runs the demonstration
# make test   sets everything up and passes the tests
.DEFAULT_GOAL := help
.PHONY: help setup validators environments demo test lowest lint types layers docs check format lock clean
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.rbh1-ready
LOWEST := .venv-lowest
VALIDATORS := .venv-validators
PIP := -m pip install -qq --disable-pip-version-check
WORKERS ?= 2
PYTEST_OPTIONS ?=

# One thread per process: the tests run in WORKERS processes, and linear algebra that starts a
# thread per core in each of them only fights over the cores.
THREADS := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# Each process gets a half, so that what a file's tests share is made once; who is done first takes
# from the other.
SHARED_OUT := -n $(WORKERS) --dist worksteal

help: ## say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## make .venv from the lock and install the project in it

# $(call environment,FOLDER,LOCK)
# The lock is complete, so nothing is resolved: pip 23 would look for the newest release of what
# another package wants with an extra, and refuse it because the lock has the hash of an older one.
define environment
	@test -x $(1)/bin/python || { python=$$(tools/find_python) && \
		echo "making $(1) with $$python" && "$$python" -m venv $(1); }
	@echo "installing the versions of $(2) (about a minute) ..."
	@$(1)/bin/python $(PIP) --no-deps --require-hashes -r $(2)
	@$(1)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	@$(1)/bin/python -m pip check --disable-pip-version-check
endef

# The stamp comes last, so that an interrupted installation is taken up again.
$(STAMP): requirements.lock pyproject.toml tools/find_python
	$(call environment,$(VENV),requirements.lock)
	@touch $@

$(LOWEST)/.rbh1-ready: requirements-lowest.lock pyproject.toml tools/find_python
	$(call environment,$(LOWEST),requirements-lowest.lock)
	@touch $@

# Nothing of ours is installed there: the tests give it the papers of a bundle.
$(VALIDATORS)/.rbh1-ready: requirements-validators.lock tools/find_python
	@test -x $(VALIDATORS)/bin/python || { python=$$(tools/find_python) && \
		echo "making $(VALIDATORS) with $$python" && "$$python" -m venv $(VALIDATORS); }
	@$(VALIDATORS)/bin/python $(PIP) --no-deps --require-hashes -r requirements-validators.lock
	@touch $@

validators: $(VALIDATORS)/.rbh1-ready ## make .venv-validators: what validates a bundle's papers

environments: $(STAMP) $(LOWEST)/.rbh1-ready $(VALIDATORS)/.rbh1-ready

demo: $(STAMP) ## a simulated observation, end to end, into demo-run/
	$(BIN)/rbh1 demo --out demo-run

test: $(STAMP) $(VALIDATORS)/.rbh1-ready ## the tests (PYTEST_OPTIONS="--run-long -k name" for more or fewer)
	$(THREADS) $(BIN)/python -m pytest $(SHARED_OUT) $(PYTEST_OPTIONS)

# Of the scene, what uses all of its parts. The stages of the reduction go through these versions in
# the run that the acceptance tests make and hold against its truth.
SCENE := $(addprefix pipeline/scene/test_,observed.py psf.py scene_cube.py)

# No library has a say in what is left out: fakes of servers, validators with versions of their own,
# what is done after accidents of a deposit (its transport and its commands stay), and the faults of
# each single check (the checks themselves judge a run that these versions made).
OURS_ALONE := checks/test_planted_faults.py release/testing release/test_papers_validators.py \
	$(patsubst tests/%,%,$(wildcard tests/pipeline/acquire/test_testing_*.py)) \
	$(addprefix release/deposit/test_,converges.py kill_matrix.py \
		$(addprefix deposit_,apply.py bench.py clean.py journal.py kills.py plan.py publish.py \
			records.py reserve.py versions.py))

# Warnings of libraries as old as these say what has changed since, which is not ours to mend.
lowest: $(LOWEST)/.rbh1-ready ## the tests of products and judge with the oldest versions allowed
	$(THREADS) $(LOWEST)/bin/python -m pytest $(SHARED_OUT) \
		-o filterwarnings=default -W ignore -q \
		$(addprefix tests/,acceptance ard checks manifests release schemas \
			pipeline/acquire pipeline/linemaps pipeline/test_batches.py \
			pipeline/test_runtime.py $(SCENE)) \
		$(addprefix --ignore tests/,$(OURS_ALONE))

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

# No index address, no path: a lock must say the same on every machine. "lowest" takes the oldest
# versions that pyproject.toml allows for what the study imports, with today's tools for testing.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.12 --upgrade --quiet \
	--no-annotate --no-emit-index-url --no-emit-find-links

lock: ## write the locks anew from pyproject.toml (needs uv)
	$(COMPILE) --generate-hashes --extra study --extra test --extra docs \
		--custom-compile-command "make lock" --output-file requirements.lock
	lowest=$$(mktemp) && trap 'rm "$$lowest"' EXIT && \
	$(COMPILE) --extra study --resolution lowest-direct --only-binary :all: > "$$lowest" && \
	$(COMPILE) --generate-hashes --extra study --extra test --constraint "$$lowest" \
		--custom-compile-command "make lock" > requirements-lowest.lock
	uv pip compile requirements-validators.in --universal --python-version 3.12 --upgrade --quiet \
		--no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes \
		--custom-compile-command "make lock" --output-file requirements-validators.lock

clean: ## remove the environment, caches and what was built
	rm -rf $(VENV) $(LOWEST) $(VALIDATORS) .venv-uv .cache .coverage .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis build dist site
