# Everything a person types. Each target sets up what it needs, so all of them work on a bare clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install install-dev up test check bench soak lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# The lock holds versions only; the marker is newer than both files it was made from.
$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flatline needs Python 3.11 or newer: make PYTHON=python3.11")'
	@echo "setting up $(VENV), some minutes at most"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --group dev
	@touch $@

install: $(VENV)/.installed  ## set up .venv with the flatline command

install-dev: $(VENV)/.installed-dev  ## the same with the tools that check and test

up: install  ## run everything on one port with its own server, data in ./data
	$(BIN)/flatline up

test: install-dev  ## every test
	$(BIN)/pytest --numprocesses 3 --dist worksteal

check: install-dev  ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-dev  ## measure, with the peers in the same run; some ten minutes
	$(BIN)/python -m tests.bench

soak: install-dev  ## the state machines at length and a fleet of a million on each server; some hours
	$(BIN)/python -m tests.bench.fleets
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --timeout 0 tests/store/test_machine.py tests/store/test_fleet_machine.py tests/store/test_pace.py

lock: install-dev  ## write requirements.lock anew
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --upgrade --group dev pyproject.toml --output-file requirements.lock

clean:  ## remove the virtual environment and caches (never ./data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
