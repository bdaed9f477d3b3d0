# Two commands on a bare machine with Python >= 3.11, make and git: `make demo` and `make test`.
# pip only, and whatever pip is configured to use. TORCH_ARGS is passed to the install of torch alone: on Linux pip's own
# choice is a build with CUDA; `make setup TORCH_ARGS="--index-url URL"` takes another, e.g. PyTorch's CPU builds.

PYTHON ?= python3
TORCH_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.hplan-installed
# bytecode is made when it is first used: to compile every package takes as long again as to install it
PIP := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt
# pip's notice about itself helps nobody; and a second thread costs networks this small more than it gives where anything
# else wants the core (0.13 s a training step with one thread, 0.4 to 1.3 s with two)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-smoke reproduce speed test lint types docs

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

setup: $(STAMP)  ## make .venv and install hplan with its tests into it; nothing when it is up to date

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hplan needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12 setup" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) $(TORCH_ARGS) torch
	$(PIP) --editable '.[dev,docs,envs,data,viz,track]'
	@touch $@

demo: setup  ## play, train and watch a stack of world models solve unseen DoorKey layouts; writes runs/demo/report.html
	$(BIN)/python -m hplan.demo

demo-smoke: setup  ## the demo's path with a budget of seconds; its agent has learned next to nothing
	$(BIN)/python -m hplan.demo --smoke

reproduce: setup  ## tables once more, and what differs from what is stored; ARGS="NAME --full --only PATTERN"
	$(BIN)/python -m experiments.reproduce $(ARGS)

speed: setup  ## what a step of every shipped agent takes, and training; ARGS="-k medium"
	$(BIN)/python -m pytest -q experiments/speed/bench_*.py --benchmark-timer time.process_time --benchmark-json runs/speed.json $(ARGS)

test: setup  ## all tests, on all cores
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## pyright
	$(BIN)/pyright

docs: setup  ## the site, into runs/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
