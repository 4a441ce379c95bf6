# What one types here; `make help` lists it. PORT and ARGS go with demo and run, ARGS with test
# and migrations.

PORT ?= 8000
ARGS ?=
export PORT

PYTHON := .venv/bin/python
# Whole files to each, each with servers of its own (ARGS="-n 0 -k name": one).
PROCESSES := --numprocesses auto --maxprocesses 4 --dist loadfile
# In this order, because a Redis for the first two comes as a wheel.
CANDIDATES := python3.12 python3.11 python3.13 python3.14 python3

# For commands that load the settings and use neither the database nor secrets.
SETTINGS := SECRET_KEY=none DATABASE_URL=postgres:///none
MANAGE := $(SETTINGS) $(PYTHON) manage.py

# npm's own note of what it has installed.
TYPESCRIPT := docs/examples/node_modules/.package-lock.json

# Said before each silence.
SAY = echo "Installing what $< names, once: a minute or two, longer on a slow network."

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo run test lint types coverage sample migrations check clean

help: ## Print this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/runtime ## Start everything, import 7,000 customers, serve (ARGS=--exit: stop then)
	@exec $(PYTHON) -m devserver demo $(ARGS)

run: .venv/runtime ## Start everything and serve (PORT=8000)
	@exec $(PYTHON) -m devserver run

test: .venv/development $(TYPESCRIPT) lint ## Every test, on servers of its own (ARGS="-k name")
	@$(PYTHON) -m tests.browser
	@$(PYTHON) -m tests.curl
	@exec $(PYTHON) -m pytest $(PROCESSES) $(ARGS)

lint: .venv/development ## Check style, format and the imports between modules
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports --no-logo

types: .venv/development ## Check types with mypy
	@$(SETTINGS) $(PYTHON) -m mypy imports customers config

coverage: .venv/development $(TYPESCRIPT) ## Run every test and report which lines and branches ran
	@$(PYTHON) -m pytest $(PROCESSES) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

sample: .venv/runtime ## Write a workbook to try: customers.xlsx, 7,000 rows
	@$(MANAGE) sample_workbook customers.xlsx

migrations: .venv/runtime ## Write the migrations of changed models (ARGS=app: its first)
	@PYTHONWARNINGS=ignore::RuntimeWarning $(MANAGE) makemigrations $(ARGS)

check: .venv/runtime ## Say what is wrong with the settings and the importers
	@$(MANAGE) check

clean: ## Remove the embedded servers' data, logs and caches
	@test ! -x $(PYTHON) || $(PYTHON) -m devserver clean
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .grimp_cache htmlcov .coverage .hypothesis staticfiles
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/runtime: requirements.txt | $(PYTHON)
	@$(SAY)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/development: requirements-dev.txt | $(PYTHON)
	@$(SAY)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Node itself is a wheel among the requirements, so that npm is there on any machine.
$(TYPESCRIPT): docs/examples/package-lock.json | .venv/development
	@$(SAY)
	@$(PYTHON) -m tests.typescript
	@touch $@

# A name on PATH proves nothing: shims fail when run, and some pythons cannot make a venv.
$(PYTHON):
	@echo "Making a Python environment in .venv: some seconds."
	@for python in $(CANDIDATES); do \
	    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	        && $$python -m venv --clear .venv && $(PYTHON) -m pip --version \
	        && exit 0; \
	done >/dev/null 2>&1; \
	echo "This needs Python 3.11 to 3.14 that can make a venv (on Debian: python3-venv)."; \
	exit 1
