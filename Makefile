# `make demo` and `make test` do all their set-up; they need Python 3.11 or newer, with venv and pip, and nothing else.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := setup.py $(shell find src -name "*.pyx" -o -name "*.pxd" -o -name "*.py")

.DEFAULT_GOAL := help
.PHONY: help demo test test-interpreted test-slow test-sanitized lint bench clean

help:
	@echo 'make demo              run the demo: UDP servers on ports 2345 and 2346 (ARGS="--port 4000 --load")'
	@echo 'make test              lint, type-check, run the tests, with the extensions and without them'
	@echo 'make test-interpreted  only without them'
	@echo 'make test-slow         run the long tests'
	@echo 'make test-sanitized    test the datagram path with the sanitizers of addresses and undefined behavior'
	@echo 'make bench             run the benchmarks, nine minutes (ARGS="--only udp", ARGS="--quick")'

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer with venv and pip is needed (Debian, Ubuntu: apt install python3-venv)'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

# Installed once; then only what has changed is compiled again.
$(VENV)/.dev: pyproject.toml $(COMPILED) | $(BIN)/python
	@if [ -e $@ ] && [ ! pyproject.toml -nt $@ ] && [ ! setup.py -nt $@ ]; \
	then $(BIN)/python setup.py --quiet build_ext --inplace; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; fi
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/homing demo $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest $(ARGS)
	@$(MAKE) --no-print-directory test-interpreted

# The same sources without the extensions, as they run where these cannot be built.
test-interpreted: $(VENV)/.dev
	rm -rf build/interpreted && mkdir -p build/interpreted
	cp -r src/homing build/interpreted && find build/interpreted -name "*.so" -delete
	PYTHONPATH=build/interpreted $(BIN)/pytest $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/pytest -m slow $(ARGS)

# A copy of the package, so that the one in use stays what it is. Python's own allocator would hide its objects from the
# sanitizer, and what the interpreter still holds at its end is no leak of ours.
SANITIZED := build/sanitized
SANITIZERS = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONPATH=$(SANITIZED)/src

test-sanitized: $(VENV)/.dev
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)
	cp -r src setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	find $(SANITIZED) -name '*.so' -delete
	cd $(SANITIZED) && CC=gcc HOMING_SANITIZE=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	$(SANITIZERS) $(BIN)/python -c 'from homing.datagram.backend import native; assert "$(SANITIZED)" in native.__file__'
	$(SANITIZERS) $(BIN)/pytest tests/datagram tests/meta tests/node tests/act -k 'not portable' $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

clean:
	find src -name '*.so' -delete
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
