# `make` shows what there is. Everything runs in .venv, which is made when it is missing.
.DEFAULT_GOAL := help
.PHONY: help demo benchmarks test test-fast mutate lint format clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A process for each core, with one thread each: threads of several would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

demo: $(VENV)/installed ## install, then train yolov5s-saconv on generated pictures (under 10 minutes on 2 cores)
	$(BIN)/python train.py --cfg yolov5s-saconv.yaml

benchmarks: $(VENV)/installed ## speed and memory of the blocks and of whole detectors; wants a quiet machine
	$(BIN)/python -m benchmarks.blocks
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.loss

test: $(VENV)/installed-dev ## install, then run all tests
	$(PYTEST)

test-fast: $(VENV)/installed-dev ## the tests that take less than five seconds each
	$(PYTEST) -m "not slow"

mutate: $(VENV)/installed-dev ## cut wires one at a time: do the tests notice? (some minutes on 2 cores)
	$(BIN)/python -m tests.mutate

lint: $(VENV)/installed-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment, the tools' caches and runs; says which folder it leaves
	@for python in $(BIN)/python $(PYTHON); do folder=$$($$python -m files.cache 2>/dev/null) && break; done; \
	echo "left as it is: $${folder:-the cache folder of saconv-yolo} (generated demo data, checks of data sets, cached pictures)"
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis runs data/cache
