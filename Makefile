# `make demo` and `make test` do all their set-up; they need Python 3.11 or newer, with venv and pip, and nothing else.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := setup.py $(wildcard src/homing/*/*.pyx src/homing/*/*.pxd) $(patsubst %.pxd,%.py,$(wildcard src/homing/*/*.pxd))

.DEFAULT_GOAL := help
.PHONY: help demo test test-interpreted test-slow lint bench clean

help:
	@echo 'make demo       run the demo: UDP servers on ports 2345 and 2346 (ARGS="--port 4000 --load")'
	@echo 'make test       lint, type-check, run the tests, with the extensions and without them'
	@echo 'make test-slow  run the long tests'
	@echo 'make bench      run the benchmarks, nine minutes (ARGS="--only udp", ARGS="--quick")'

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer with venv and pip is needed (Debian, Ubuntu: apt install python3-venv)'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml $(wildcard $(COMPILED)) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(wildcard $(COMPILED)) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/homing demo $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest $(ARGS)
	$(MAKE) test-interpreted

# The same sources without the extensions, as they run where these cannot be built.
test-interpreted: $(VENV)/.dev
	rm -rf build/interpreted && mkdir -p build/interpreted
	cp -r src/homing build/interpreted && rm -f build/interpreted/homing/*/*.so
	PYTHONPATH=build/interpreted $(BIN)/pytest $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/pytest -m slow $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
