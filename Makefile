# Everything a person does with this project. On a fresh machine `make run` or `make test` is enough:
# each makes the virtual environment .venv, installs the locked packages and benchbird itself, then works.

# The first of these that is new enough; `make setup PYTHON=…` names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
    done || echo python3)
ARGS ?=
BENCHMARK ?= benchmarks/birdsound.yaml
BIN := .venv/bin
STAMP := .venv/installed

# Every run is a new process or three: without its bytecode each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-all test-gpu check docs schema faults lock perf clean

help:
	@echo "make run [ARGS='--profile cpu']   run the benchmark $(BENCHMARK), print its leaderboard"
	@echo "make test                         run the tests (minutes)"
	@echo "make test-all                     run the slow ones too"
	@echo "make test-gpu                     run those that need a CUDA device"
	@echo "make check                        lint, format, types, imports"
	@echo "make docs                         build the documentation as a site that needs no network: build/site/index.html"
	@echo "make schema                       write what editors are told of a benchmark's keys"
	@echo "make faults                       kill, starve and poison it, for docs/reliability.md (hours)"
	@echo "make perf                         measure speed for docs/performance.md, and what the embedded data teach (hours)"
	@echo "make setup                        make .venv only"
	@echo "make lock                         resolve requirements.lock anew"
	@echo "make clean                        remove caches and builds; keeps .venv and results"

setup: $(STAMP)

# Done when the stamp is newer than both files; an interrupted set-up leaves no stamp and is repeated.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    found=$$($(PYTHON) --version 2>/dev/null) || found=missing; \
	    echo "benchbird needs Python 3.11 or newer; $(PYTHON) is $$found." >&2; \
	    echo "Install one, then name it if need be: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "This Python can't make virtual environments. On Debian or Ubuntu:" >&2; \
	    echo "    sudo apt-get install python3-venv" >&2; exit 1; }
	@if [ -e .venv ] && ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "Removing .venv: it was left unfinished or its Python is gone."; rm -rf .venv; fi
	@test -e .venv || $(PYTHON) -m venv .venv
	@echo "Installing the locked packages into .venv: about 6 GB (PyTorch with CUDA), once; minutes."
	@# --no-deps: the lock is whole, and pip would take the newest `coverage[toml]`, which has no hash there.
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup
	$(BIN)/benchbird run $(BENCHMARK) $(ARGS)

# One thread a test process: two of them with a thread per core each would only wait for one another.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

test-all: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not gpu" $(ARGS)

test-gpu: setup
	$(BIN)/python -m pytest -m gpu $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

schema: setup
	$(BIN)/python -m benchbird.config.editor_schema > benchmarks/benchmark.schema.json

# Goes on where it stopped; ARGS='--only F1' for a part, ARGS=--list for how long it takes.
faults: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(ARGS)

# One after the other, and on to the next where a goal is missed: the figures that a script writes stand anyhow.
perf: setup
	@missed=; for script in tests/performance/[a-z]*.py; do echo "== $$script"; \
	    $(BIN)/python "$$script" $(ARGS) || missed="$$missed $$script"; done; \
	    if [ -n "$$missed" ]; then echo "failed, or missed a goal:$$missed" >&2; exit 1; fi

# Keeps what is locked unless pyproject.toml asks otherwise; `make lock ARGS=--upgrade` takes what is new.
# Versions held back are in pyproject.toml under [tool.uv].
lock: setup
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev $(ARGS) \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet \
	    --output-file requirements.lock pyproject.toml
	@! grep -n '://' requirements.lock || { echo "requirements.lock names an address" >&2; exit 1; }

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find benchbird plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +
