# Commands for development. `make help` lists them. PORT applies to demo and run, ARGS to demo,
# manage, test, faults, matrix, mutations, coverage and migrations, SEEDS to soak.

PORT ?= 8000
ARGS ?=
SEEDS ?= 1-20
export PORT

PYTHON := .venv/bin/python
# Each test process runs whole files on its own servers. For one process: ARGS="-n 0 -k name".
PROCESSES := --numprocesses auto --maxprocesses 4 --dist loadfile
# Python 3.12 and 3.11 come first because a wheel with Redis exists for these versions only.
CANDIDATES := python3.12 python3.11 python3.13 python3.14 python3

# For commands that load the settings and use neither the database nor secrets.
SETTINGS := SECRET_KEY=none DATABASE_URL=postgres:///none
MANAGE := $(SETTINGS) $(PYTHON) manage.py

# npm writes this file when it has installed the packages.
TYPESCRIPT := docs/examples/node_modules/.package-lock.json

# Printed before an installation, which is silent.
SAY = echo "Installing the packages of $<. This takes a minute or two, longer on a slow network."

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo run manage test faults matrix soak mutations lint types audit sbom coverage fuzz bench sample wheel migrations check clean

help: ## Print this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/runtime ## Start the site, import 7,000 customers, keep serving (ARGS=--exit: stop then)
	@exec $(PYTHON) -m devserver demo $(ARGS)

run: .venv/runtime ## Start the site (PORT=8000)
	@exec $(PYTHON) -m devserver run

manage: .venv/runtime ## Run a command of manage.py on the site that demo or run has started (ARGS=imports_status)
	@exec $(PYTHON) -m devserver manage $(ARGS)

test: .venv/development $(TYPESCRIPT) lint ## Check style, then run every test (ARGS="-k name")
	@$(PYTHON) -m tests.browser
	@$(PYTHON) -m tests.curl
	@exec $(PYTHON) -m pytest $(PROCESSES) $(ARGS)

faults: .venv/development ## Cause every fault of docs/faults.md, the slow ones too (ARGS="-k undo")
	@exec $(PYTHON) -m pytest $(PROCESSES) -m "" tests/test_faults_*.py tests/test_docs_faults.py $(ARGS)

matrix: .venv-matrix/bin/uv ## Run the core of the tests with each driver, Django and kind of project (ARGS="ATOMIC")
	@.venv-matrix/bin/python -m tests.matrix $(ARGS)

soak: .venv/development ## Run imports with random commands and faults, write docs/soak.md (SEEDS=1-20)
	@exec $(PYTHON) -m tests.soak --seeds $(SEEDS) --report docs/soak.md

mutations: .venv/development ## Remove one guard after another, and check that its tests fail (ARGS=name)
	@exec $(PYTHON) -m tests.mutations $(ARGS)

lint: .venv/development types ## Check style, format, imports between modules, types, vulnerabilities
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) -m tests.audit

types: .venv/development ## Check types with mypy
	@$(SETTINGS) $(PYTHON) -m mypy imports customers config
	@cd imports/pipeline/reader && MYPYPATH=. $(abspath $(PYTHON)) -m mypy --config-file= --strict \
	    --explicit-package-bases --ignore-missing-imports --exclude '__init__' .

audit: .venv/development ## Ask PyPI for known vulnerabilities; fail if it does not answer
	@$(PYTHON) -m tests.audit --strict

sbom: .venv/development ## Write the software bill of materials of the site: dist/sbom.json
	@mkdir -p dist
	@.venv/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml \
	    --output-reproducible --output-format JSON --output-file dist/sbom.json 2>/dev/null
	@echo "dist/sbom.json"

coverage: .venv/development $(TYPESCRIPT) ## Run every test and report which lines and branches ran
	@$(PYTHON) -m pytest $(PROCESSES) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

bench: .venv/development ## Compare an import with other ways to write the same rows, side by side (ARGS="--format csv")
	@exec $(PYTHON) -m benchmarks.comparison $(ARGS)

fuzz: .venv/development ## Check the API with 3,000 generated requests or more (ARGS="--seed 2"), and each rule for columns with 100,000 cells
	@$(PYTHON) -m benchmarks.api_contract $(ARGS)
	@RANDOM_CELLS=100000 exec $(PYTHON) -m pytest -q tests/test_column_cleaning.py

sample: .venv/runtime ## Write a sample workbook: customers.xlsx, 7,000 rows
	@$(MANAGE) sample_workbook customers.xlsx

wheel: | $(PYTHON) ## Build the installable app: dist/django_live_imports-*.whl
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

migrations: .venv/runtime ## Write migrations for changed models (ARGS=app: its first migration)
	@PYTHONWARNINGS=ignore::RuntimeWarning $(MANAGE) makemigrations $(ARGS)

check: .venv/runtime ## Check the settings and the importers
	@$(MANAGE) check

clean: ## Remove the data of the development servers, logs and caches
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

# uv creates the environments of the matrix.
.venv-matrix/bin/uv: | $(PYTHON)
	@$(PYTHON) -m venv .venv-matrix
	@.venv-matrix/bin/python -m pip install --quiet --disable-pip-version-check uv

# Node.js and npm are installed from a wheel of requirements-dev.txt.
$(TYPESCRIPT): docs/examples/package-lock.json tests/clients/package-lock.json | .venv/development
	@$(SAY)
	@$(PYTHON) -m tests.typescript
	@touch $@

# Try each candidate: a program on PATH may be a shim that fails, or may be unable to create a venv.
$(PYTHON):
	@echo "Creating a Python environment in .venv."
	@for python in $(CANDIDATES); do \
	    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	        && $$python -m venv --clear .venv && $(PYTHON) -m pip --version \
	        && exit 0; \
	done >/dev/null 2>&1; \
	echo "Install Python 3.11 to 3.14 with the venv module (on Debian: python3-venv)."; \
	exit 1
