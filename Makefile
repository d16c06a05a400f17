# `make` rebuilds every figure, `make test` runs the tests that take minutes, `make test-all` all of them. Each makes the
# environment in .venv first, if need be, and what tests or checks need besides; `make PYTHON=python3.12` makes it with
# that Python.
SCALE ?= laptop
CORES ?= all
PYTHON = python3

ENVIRONMENT := .venv/.complete
TOOLS := .venv/.complete-with-tools
LIBRARY := .venv/.complete-with-library
OLD = $(PYTHON) is older than Python 3.11; name another one, such as: make PYTHON=python3.12
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The user's settings of pip for other environments, such as `user = true`, and of this Makefile's names do not count.
export PIP_USER := no

# An environment of another Python than the one that is asked for is made anew.
ifneq ($(origin PYTHON), file)
ifneq ($(shell $(PYTHON) --version), $(shell test -x .venv/bin/python && .venv/bin/python --version))
.PHONY: $(ENVIRONMENT)
endif
endif

# Snakemake and, at its end, what the run has brought; also where nothing was left to do.
run = started=$$(date +%s) && snakemake $(1) --cores $(CORES) --config scale=$(SCALE) && echo \
  && python -m lowrank_dynamics outcome --run $(SCALE) --since $$started
REPORT = results/$(SCALE)/report.html

.PHONY: figures sensitivity beyond open archive bench test test-all check tables format lock clean help

figures: $(ENVIRONMENT)  ## (default) every figure, the verdicts and the report
	@$(call run,)

sensitivity: $(ENVIRONMENT)  ## the verdicts again, with one declared choice after another changed
	@$(call run,sensitivity)

beyond: $(ENVIRONMENT)  ## nine studies of our own, beyond the paper
	@snakemake beyond --cores $(CORES) --config scale=$(SCALE)
	@python -m lowrank_dynamics outcome --run $(SCALE)/beyond

show = import pathlib, sys, webbrowser; page = pathlib.Path(sys.argv[1]).resolve(); \
  webbrowser.open(page.as_uri()) or print(f"{page} is one file; open it on any machine that has a browser")

open:  ## show the report, where there is a browser
	@test -f $(REPORT) || { echo "$(REPORT) is not there; run: make SCALE=$(SCALE)" >&2; exit 1; }
	@$(PYTHON) -c '$(show)' $(REPORT)

# It runs nothing of the workflow, and writes to archive/.
archive: $(ENVIRONMENT)  ## one file to publish: the sources at this commit, settings and results
	@python -m lowrank_dynamics archive --run $(SCALE)

# Measure the ratios of docs/performance.md anew, on one core that should have nothing else to do; peft is for this alone.
bench: $(ENVIRONMENT)  ## measure the ratios of docs/performance.md anew
	pip install --quiet peft==0.21.2
	@OMP_NUM_THREADS=1 python -m benchmarks

# One process a core; tests of one file stay together, because they share what they made.
PYTEST = pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

# Science, settings, storage, figures, and one run at smoke scale.
test: $(TOOLS)  ## the quick tests, in some five minutes
	$(PYTEST) -m "not slow"

# Also Slurm, the browser, runs that are killed, the documents carried out to the letter, and the packages that people use the
# library with.
test-all: $(LIBRARY)  ## all tests: also whole runs, Slurm and the browser
	$(PYTEST)

# Format, lint, types and the order of the rooms: what the continuous integration runs beside the tests.
check: $(TOOLS)  ## format, lint and types
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python -m tools.fill_tables --check
	python -m tools.write_schemas --check
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

# Fill the tables of verdicts in README and docs from the reference.
tables: $(TOOLS)  ## fill the tables of README and docs from the reference
	python -m tools.fill_tables

format: $(TOOLS)  ## format the code
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/rules

# Remake the lists of versions from pyproject.toml: for users, for developers, and for conda. A local build's tag ("+cpu") is
# not part of a version to install. They hold no hashes: pip then wants one of each package, and torch has many builds.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --strip-extras --no-emit-options \
  --upgrade-package torch==2.13.0 pyproject.toml
lock: $(TOOLS)  ## remake requirements.txt, requirements-dev.txt and environment.yml
	pip install --quiet pip-tools
	$(COMPILE) --extra workflow --output-file requirements.txt
	$(COMPILE) --extra workflow --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.txt requirements-dev.txt
	{ sed '/- pip:/q' environment.yml; sed -n 's/^[a-z].*==.*/      - &/p' requirements.txt; } > environment.yml.partial
	mv environment.yml.partial environment.yml

$(ENVIRONMENT): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(OLD)")'
	$(PYTHON) -m venv --clear .venv
	pip install --quiet --requirement requirements.txt
	pip install --quiet --no-deps --editable .
	touch $@

$(TOOLS): $(ENVIRONMENT) requirements-dev.txt
	pip install --quiet --requirement requirements-dev.txt
	touch $@

$(LIBRARY): $(TOOLS) requirements-library.txt
	pip install --quiet --constraint requirements-dev.txt --requirement requirements-library.txt
	touch $@

clean:  ## remove results and figures, except for the reference
	find results figures -mindepth 1 -maxdepth 1 ! -name reference -exec rm -r {} +

help:  ## list the targets
	@echo "make [TARGET] [SCALE=$(SCALE)] [CORES=$(CORES)] [PYTHON=$(PYTHON)]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile
