# `make` rebuilds every figure, `make test` runs the tests that take minutes, `make test-all` all of them. Each makes the
# environment in .venv first, if need be; `make PYTHON=python3.12` makes it with that Python.
SCALE ?= laptop
CORES ?= all
PYTHON ?= python3

ENVIRONMENT := .venv/.complete
OLD = $(PYTHON) is older than Python 3.11; name another one, such as: make PYTHON=python3.12
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# An environment of another Python than the one that is asked for is made anew.
ifneq ($(origin PYTHON), file)
ifneq ($(shell $(PYTHON) --version), $(shell test -x .venv/bin/python && .venv/bin/python --version))
.PHONY: $(ENVIRONMENT)
endif
endif

.PHONY: figures sensitivity beyond archive bench test test-all check tables format lock clean

figures: $(ENVIRONMENT)
	@snakemake --cores $(CORES) --config scale=$(SCALE)
	@python -m lowrank_dynamics outcome --scale $(SCALE)

# The claims again, with one declared choice after another changed.
sensitivity: $(ENVIRONMENT)
	@snakemake sensitivity --cores $(CORES) --config scale=$(SCALE)
	@python -m lowrank_dynamics outcome --scale $(SCALE)

# Five studies of our own, beyond the paper.
beyond: $(ENVIRONMENT)
	@snakemake beyond --cores $(CORES) --config scale=$(SCALE)
	@python -m lowrank_dynamics outcome --scale $(SCALE)/beyond

# One file to publish, in archive/: the sources at this commit with settings and results. It runs nothing of the workflow.
archive: $(ENVIRONMENT)
	@python -m lowrank_dynamics archive --scale $(SCALE)

# Measure the ratios of docs/performance.md anew, on one core that should have nothing else to do; JAX is for this alone.
bench: $(ENVIRONMENT)
	pip install --quiet jax==0.10.2
	@OMP_NUM_THREADS=1 python -m benchmarks

# Science, settings, storage, figures, and one run at smoke scale.
test: $(ENVIRONMENT)
	pytest -m "not slow"

# These too: Slurm, the browser, runs that are killed, and the documents carried out to the letter.
test-all: test
	pytest -m slow

# Format, lint, types and the order of the rooms: what the continuous integration runs beside the tests.
check: $(ENVIRONMENT)
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python docs/tables.py --check
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

# Fill the tables of verdicts in README and docs from the reference.
tables: $(ENVIRONMENT)
	python docs/tables.py

format: $(ENVIRONMENT)
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/rules

# Remake requirements.txt from pyproject.toml. A local build's tag ("+cpu") is not part of a version to install.
lock: $(ENVIRONMENT)
	pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --all-extras --strip-extras --upgrade-package torch==2.13.0 \
	  --no-emit-options --output-file requirements.txt pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.txt

$(ENVIRONMENT): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(OLD)")'
	$(PYTHON) -m venv --clear .venv
	pip install --quiet --requirement requirements.txt
	pip install --quiet --no-deps --editable .
	touch $@

clean:
	find results figures -mindepth 1 -maxdepth 1 ! -name reference -exec rm -r {} +
