# Everything a person does here is a target; `make` lists them. A machine needs Python 3.10 to 3.13 and make.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
READY := .venv/.ready

# PYTHON=python3.12 picks the Python of a new .venv; without it, the first on the path that fits.
export PYTHON

.PHONY: help
help: ## Show this list
	@if [ -t 1 ] && [ -z "$$NO_COLOR" ]; then on=$$(printf '\033[1m'); off=$$(printf '\033[0m'); fi; \
	awk -v on="$$on" -v off="$$off" -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %s%-15s%s %s\n", on, $$1, off, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(READY) ## Install it into .venv, which every target here does by itself where it is not done
	@echo 'It is in .venv: source .venv/bin/activate, then salesmart --help.'

.PHONY: demo
demo: $(READY) ## See it work: files land, are checked, and become marts and reports
	@$(BIN)/salesmart demo

.PHONY: dev
dev: $(READY) ## Start it: Dagster's UI, the sensor, and a local S3 endpoint
	@$(BIN)/salesmart dev

# One more than there are cores, for tests wait for servers and processes, too.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(4, os.cpu_count() + 1))')

.PHONY: test
test: $(READY) ## Run every test; ARGS="-k ledger" runs some
	@.ci/needs
	@.ci/jars
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup --durations 10 --durations-min 1 $(ARGS)

.PHONY: docs
docs: $(READY) ## Build the documentation as a site, in build/site
	@$(BIN)/zensical build --clean --strict && echo 'Open build/site/index.html.'

SECONDS ?= 60

.PHONY: fuzz
fuzz: $(READY) ## Look for files that break the ingestion, for 60 s; SECONDS=600 takes longer
	@mkdir -p .fuzz && $(BIN)/python -m salesmart_assets_tests.fuzz.kernel --seconds $(SECONDS) --corpus .fuzz

MINUTES ?= 30

.PHONY: soak
soak: $(READY) ## Land faulty files and kill processes at random for 30 minutes, then compare every row; MINUTES=600 takes longer
	@.ci/needs
	@$(BIN)/python -m salesmart_assets_tests.soak --minutes $(MINUTES) $(ARGS)

.PHONY: check
check: $(READY) ## Check format, style, types, walls between packages, lock and text, and that no file holds a secret
	@$(BIN)/ruff format --quiet --diff . || { echo 'make format puts this right.'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }; echo "Walls: $$(echo "$$said" | grep '^Contracts:')"
	@$(BIN)/python .ci/check_lock.py
	@$(BIN)/python .ci/check_text.py
	@$(BIN)/python .ci/check_secrets.py

.PHONY: format
format: $(READY) ## Format the code, and mend what can be mended safely
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: screenshots
screenshots: $(READY) ## Take the pictures of the documentation anew
	@.ci/needs
	@$(BIN)/python -m salesmart_assets_tests.screenshots

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: bench
bench: $(READY) ## Measure a day end to end beside scripts for DuckDB, Polars and PySpark; ARGS="--size 5GB" takes a larger one
	@.ci/needs
	@$(BIN)/python -m benchmarks.end_to_end $(ARGS)

.PHONY: bench-generate
bench-generate: $(READY) ## Measure the generator beside a loop with csv.writer
	@$(BIN)/python -m benchmarks.generate $(ARGS)

.PHONY: bench-ingest
bench-ingest: $(READY) ## Measure ingestion beside DuckDB and pyarrow; ARGS="--size 2GB" takes larger files
	@$(BIN)/python -m benchmarks.ingest $(ARGS)

.PHONY: bench-sensor
bench-sensor: $(READY) ## Measure the sensor: 100,000 objects pending, a ledger of a million rows
	@$(BIN)/python -m benchmarks.sensor

.PHONY: bench-warehouse
bench-warehouse: $(READY) ## Measure dimensions and the fact, day by day and beside DuckDB; ARGS="--case fact" takes one case
	@$(BIN)/python -m benchmarks.warehouse $(ARGS)

.PHONY: bench-publish
bench-publish: $(READY) ## Measure publication to MariaDB beside pandas, SQLAlchemy and Spark; ARGS="--rows 100000" takes fewer rows
	@$(BIN)/python -m benchmarks.publish $(ARGS)

.PHONY: jars
jars: ## Fetch the jars by which Apache Spark reads a lake on S3 into .jars, by Maven
	@.ci/jars

.PHONY: lock
lock: $(READY) ## Bring requirements.lock in step with pyproject.toml; UPGRADE=1 takes the newest
	@$(COMPILE) --extra deploy --group dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --group installer --constraint requirements.lock --output-file .ci/installer.lock
	@$(COMPILE) --extra deploy --constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock

.PHONY: audit
audit: $(READY) ## Ask the vulnerability service about every locked package; needs the internet, so no part of check
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock

.PHONY: sbom
sbom: $(READY) ## Write dist/salesmart.cdx.json, the bill of materials of what is deployed (CycloneDX)
	@mkdir -p dist
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/salesmart.cdx.json \
		deploy/requirements.lock
	@echo "Wrote dist/salesmart.cdx.json."

.PHONY: clean
clean: ## Remove what make made; the data in .salesmart stays
	@rm -rf .venv .cache .jars build dist *.egg-info .hypothesis .fuzz .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock .ci/installer.lock .ci/install pyproject.toml
	@.ci/install
	@touch $@
