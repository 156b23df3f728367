# `make help` lists what there is. Everything runs in a virtual environment of its own, made when it is first needed.
# ARGS="..." goes to the program that runs, as in `make train ARGS="--epochs 3"`; PYTHON=python3.12 picks a Python.

VENV := .venv
BIN  := $(VENV)/bin
# The Python of the environment that is there already, so that a choice made once holds.
ifndef PYTHON
PYTHON := $(or $(shell cat $(VENV)/.python 2>/dev/null),python3)
endif

# Files that stand for a finished step. They lie inside the environment, so that making it anew forgets them.
CREATED := $(VENV)/.created-by-$(subst /,-,$(PYTHON))
EXTRA   := $(VENV)/.extra

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test test-peers lowest lowest-environment trust fuzz mutants arch predicted bench docs gpu-report lint format wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  %-16s %s\n", $$1, $$2 }'

train: $(EXTRA)-plot ## train a network on the bundled handwritten digits
	$(BIN)/gpunn train $(ARGS)

PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: $(EXTRA)-test ## run the tests but the slow ones; those that compare with PyTorch are skipped where it is not installed
	$(PYTEST) -m 'not slow' $(ARGS)

# Of torchvision the source alone: its networks are made of it by both libraries.
TORCHVISION := torchvision==0.29.1

test-peers: $(EXTRA)-test ## install PyTorch, onnxruntime, MPI, NVIDIA's compiler and the like, bring torchvision's source, then run all tests
	@$(MAKE) --no-print-directory $(EXTRA)-torch || echo "PyTorch could not be installed: its tests are skipped"
	@$(MAKE) --no-print-directory $(EXTRA)-exchange || echo "onnxruntime, MPI, NVIDIA's compiler and the like could not be installed: their tests are skipped"
	@$(BIN)/python -m pip download --quiet --no-deps --dest build/torchvision '$(TORCHVISION)' || echo "torchvision's source could not be downloaded: its tests are skipped"
	$(PYTEST) $(ARGS)

# Old versions warn that what they use of newer ones is going to go.
LOWEST := $(VENV)-lowest

lowest-environment:
	@$(MAKE) --no-print-directory VENV=$(LOWEST) $(LOWEST)/.created-by-$(subst /,-,$(PYTHON))
	$(LOWEST)/bin/python .ci/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/lowest.txt --editable '.[test]'

lowest: lowest-environment ## run the tests of what computes and trains with the lowest versions of all dependencies
	$(LOWEST)/bin/python -m pytest $(CORE) -m 'not slow' -W ignore::DeprecationWarning --numprocesses auto --dist worksteal $(ARGS)

CORE := $(addprefix tests/,autograd ops nn optim plan utils datasets io train cli)

# MODELS=500 takes twice as many random networks with what is done with them, and a fourth of that on the simulator; so
# many trainings that are killed; and of every kind of file fifty times as many changed ones. 200 take about an hour of
# CPU time. The counts are written into docs/trust.md.
MODELS ?= 200

CAMPAIGNS := tests/plan/test_stateful.py tests/plan/test_random_recomputation.py tests/plan/test_ways.py \
  tests/train/test_kills.py tests/train/test_faults.py tests/train/test_guard.py tests/train/test_precision.py tests/parallel/test_lost.py tests/test_mutations.py tests/fuzz tests/test_leaks.py tests/test_packaging.py tests/utils \
  tests/inspect/explain/test_random_models.py

trust: $(EXTRA)-test $(EXTRA)-exchange ## random networks compared, trainings killed and resumed, files changed, faults, leaks
	GPUNN_TRUST=$(MODELS) $(PYTEST) $(CAMPAIGNS) $(ARGS)
	@$(MAKE) --no-print-directory fuzz ARGS=

fuzz: $(EXTRA)-fuzz ## read bytes that nobody foresaw as files of every kind, guided by coverage; ARGS="idx --seconds 600"
	$(BIN)/python -m tests.fuzz $(ARGS)

mutants: $(EXTRA)-mutants ## change kernels in one place at a time and run their tests; ARGS=python changes ops and plans
	$(BIN)/python -m benchmarks.mutants $(if $(ARGS),$(ARGS),kernels)

# ARCH=sm_90,sm_120 compiles for these only.
ARCH ?= all
arch: $(EXTRA)-arch ## compile every CUDA kernel for every GPU architecture, by CUDA 12 and 13, on any machine
	$(BIN)/gpunn doctor --kernels --arch $(ARCH) --cuda 12 $(ARGS)
	$(BIN)/gpunn doctor --kernels --arch $(ARCH) --cuda 13 $(ARGS)

predicted: $(EXTRA)-profile ## compare what the compiler and the simulator say of every kernel with what is recorded
	$(BIN)/python -m benchmarks.predicted $(ARGS)

bench: $(EXTRA)-bench ## measure samples per second for each batch size, PyTorch and JAX beside it
	$(BIN)/gpunn bench $(if $(ARGS),$(ARGS),batch-size --peers torch,jax)

docs: $(EXTRA)-docs ## build the documentation into build/docs/index.html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html -d build/docs.cache docs build/docs $(ARGS)
	@echo "build/docs/index.html"

# CUDA=12 or CUDA=13 picks the CuPy to install; by itself the newest that the driver runs.
CUDA ?= $(if $(filter 13 14,$(shell nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: \([0-9]*\).*/\1/p')),13,12)

gpu-report: $(EXTRA)-test ## on a machine with a GPU, test it, compare it with the CPU and measure it
	@$(MAKE) --no-print-directory $(EXTRA)-cuda$(CUDA)-blas
	$(BIN)/python -m benchmarks.gpu_report $(ARGS)

lint: $(EXTRA)-lint ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(EXTRA)-lint ## format the code, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(CREATED) ## build dist/gpunn-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find gpunn tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(CREATED):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "gpunn needs Python 3.10 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments; install them (Debian, Ubuntu: apt install python3-venv), or name another Python: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=22'
	@echo $(PYTHON) > $(VENV)/.python
	@touch $@

# gpunn itself, linked to this checkout, with one of the extras that pyproject.toml lists
$(EXTRA)-%: $(CREATED) pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
