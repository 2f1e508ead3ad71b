# `make demo` and `make test` do all their set-up; they need Python 3.11 or newer, with venv and pip, and nothing else.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := setup.py $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd')

# Tests start hundreds of programs: none of them has to compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo cluster test test-compiled test-programs test-interpreted test-slow test-sanitized fuzz fuzz-servers lint bench figures instructions docs clean build-sanitized

help:
	@echo 'make demo              run the demo: UDP servers on ports 2345 and 2346 (ARGS="--port 4000 --load")'
	@echo 'make cluster           run a UDP service on three nodes, to kill any of them (ARGS="5300": its port)'
	@echo 'make test              lint, type-check, run the tests, with the extensions and without them: some three minutes'
	@echo 'make test-compiled     only with them (ARGS="tests/node", ARGS="-k mailbox": some of the tests)'
	@echo 'make test-interpreted  only without them'
	@echo 'make test-programs     test whole programs: the command, builds, benchmarks, examples, guides; two minutes'
	@echo 'make test-slow         run the long tests, and others with many more examples'
	@echo 'make test-sanitized    test the datagram path with the sanitizers of addresses and undefined behavior'
	@echo 'make fuzz              fuzz the datagram path, sanitized, fifteen minutes (SECONDS=60: each of the three drivers)'
	@echo 'make fuzz-servers      fuzz the parsers of the example servers, a minute each (SECONDS=10), with atheris'
	@echo 'make docs              build the documentation into build/site, and check its links'
	@echo 'make bench             run the benchmarks, seventeen minutes (ARGS="--only udp", ARGS="--quick")'
	@echo 'make figures           run them, and renew the figures in README.md and docs/benchmarks.md; on a quiet machine'
	@echo 'make instructions      count the instructions of each operation, and compare them with their ceilings: a minute, valgrind'

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer with venv and pip is needed (Debian, Ubuntu: apt install python3-venv)'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Installs into $(VENV), with the extra $(EXTRA). Meanwhile the extensions are compiled here, where one sees how far that is;
# pip would keep it to itself.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
REQUIRES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
.PHONY: venv installed extensions
venv: | $(BIN)/python
	@echo 'Setting up $(VENV), once: packages are fetched, and the extensions are translated to C and compiled.'
	@echo 'That takes up to two minutes.'
	@$(BIN)/python -c '$(REQUIRES)' > $(VENV)/requires.txt && $(PIP) -r $(VENV)/requires.txt
	@$(MAKE) --no-print-directory -j2 installed extensions EXTRA=$(EXTRA)

installed:
	@HOMING_EXTENSIONS=0 $(PIP) --no-build-isolation --editable '.[$(EXTRA)]'

extensions:
	@$(BIN)/python setup.py --quiet build_ext --inplace

$(VENV)/.demo: pyproject.toml setup.py | $(BIN)/python
	@$(MAKE) --no-print-directory venv EXTRA=cli
	@touch $@

# Installed once; then only what has changed is compiled again. No extension stays that setup.py does not name any more.
$(VENV)/.dev: pyproject.toml $(COMPILED) | $(BIN)/python
	@if [ -e $@ ] && [ ! pyproject.toml -nt $@ ] && [ ! setup.py -nt $@ ]; \
	then $(BIN)/python setup.py --quiet build_ext --inplace; \
	else find src -name '*.so' -delete; $(MAKE) --no-print-directory venv EXTRA=dev; fi
	@touch $@ $(VENV)/.demo $(VENV)/.cluster

demo: $(VENV)/.demo
	@$(BIN)/homing demo $(ARGS)

$(VENV)/.cluster: $(VENV)/.demo
	@$(MAKE) --no-print-directory venv EXTRA=cli,cluster
	@touch $@

cluster: $(VENV)/.cluster
	@$(BIN)/python -m examples.cluster $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/mypy --explicit-package-bases $(wildcard examples/servers/*.py)

# A run by name proves which code it tests, and counts what it executes: tests/suite. It has two parts, and with ARGS one,
# which need not be complete. In the first, tests run side by side, twice as many as there are processors, since they wait
# for much of their time; what minds the load of others runs in the second.
# What tests whole programs (the command, the builds, the benchmarks, examples and guides, the suite itself) has a run of
# its own. Costs among thousands are those of the compiled code, without sanitizers.
PROGRAMS := tests/bench tests/cli tests/cluster/zenoh tests/docs tests/examples tests/install tests/observe/page tests/suite
THOUSANDS := tests/node/test_mass_ends.py tests/node/test_scale.py tests/act/test_depth.py tests/meta/peers/test_peer_flood.py
SIDE_BY_SIDE = --forks $(shell n=$$(($$(nproc 2>/dev/null || echo 2) * 2)); echo $$((n < 12 ? n : 12)))
run = $(if $(ARGS),$(BIN)/pytest --run=$(1) --partial $(2) $(ARGS),\
	$(BIN)/pytest --run=$(1) --part=parallel $(SIDE_BY_SIDE) $(2) && $(BIN)/pytest --run=$(1) --part=serial $(2))

test: START := $(shell date +%s)
test: lint
	@$(MAKE) --no-print-directory test-compiled
	@$(MAKE) --no-print-directory test-interpreted
	@echo "make test took $$(($$(date +%s) - $(START))) s"

# Without a compiler or the headers there is no such run: all tests then run interpreted.
HEADER = $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
test-compiled: $(VENV)/.dev
	@if [ -e "$(HEADER)" ] && command -v $${CC:-cc} >/dev/null; then $(call run,compiled,$(if $(ARGS),,$(PROGRAMS:%=--ignore=%))); \
	else echo 'no C compiler or Python headers: all tests run interpreted'; $(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS); fi

test-programs: $(VENV)/.dev
	$(call run,programs,$(if $(ARGS),,$(PROGRAMS)))

# Logic that is not compiled, and runs on top of what is, is the same in each run: TCP and DTLS, assemblies, captures,
# supervisors, and programs that fork or end. It is tested with the extensions.
UNCOMPILED := tests/meta/tcp tests/meta/dtls tests/meta/assembly tests/datagram/capture tests/act/supervisor \
	tests/node/test_forks.py tests/node/test_program_end.py

# The same sources without the extensions, as they run where these cannot be built; of the tests those that this changes.
INTERPRETED := build/interpreted
test-interpreted: $(VENV)/.dev
	rm -rf $(INTERPRETED) && mkdir -p $(INTERPRETED)
	cp -rp src/homing $(INTERPRETED) && find $(INTERPRETED) -name '*.so' -delete
	PYTHONPATH=$(abspath $(INTERPRETED)) && export PYTHONPATH && \
	$(call run,interpreted,$(if $(ARGS),,tests/act tests/datagram tests/meta tests/node $(patsubst %,--ignore=%,$(THOUSANDS) $(UNCOMPILED))))

test-slow: $(VENV)/.dev
	HOMING_THOROUGH=1 $(BIN)/pytest --run=slow -m 'slow or thorough' $(if $(ARGS),--partial $(ARGS))
	$(if $(ARGS),,@if command -v gcc >/dev/null; then $(MAKE) --no-print-directory fuzz; else echo 'no gcc: not fuzzed'; fi)
	$(if $(ARGS),,@if $(BIN)/python -c 'import atheris' 2>/dev/null; then $(MAKE) --no-print-directory fuzz-servers; \
	else echo 'no atheris: the parsers of the example servers are not fuzzed'; fi)

# A copy of the package, so that the one in use stays what it is. Python's own allocator would hide its objects from the
# sanitizer, and what the interpreter still holds at its end is no leak of ours.
SANITIZED := build/sanitized
SANITIZERS = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONPATH=$(abspath $(SANITIZED))/src

FUZZ = tests/datagram/backend/test_hostile_kernel.py tests/meta/udp_server/test_hostile_data.py tests/datagram/capture/test_reading.py
SECONDS = 300

# Left out is also what repeats logic that is not compiled, and many more examples: tests of it start programs of others,
# which would run under the sanitizers.
test-sanitized: build-sanitized
	export $(SANITIZERS) HOMING_FUZZ_SECONDS=10 HOMING_BRIEF=1 && $(call run,sanitized,$(if $(ARGS),,\
	tests/act tests/datagram tests/meta tests/node $(patsubst %,--ignore=%,$(THOUSANDS) $(UNCOMPILED))))

# A seed of its own each time; a case that fails says its number, which repeats it.
fuzz: build-sanitized
	export $(SANITIZERS) HOMING_FUZZ_SECONDS=$(SECONDS) HOMING_FUZZ_SEED=$$(shuf -i 1-1000000 -n 1) && \
	$(BIN)/pytest -q -n 2 --run=sanitized --partial $(FUZZ)

# Each `parse_untrusted` of examples/servers, led by the code that its datagrams reach. As many at a time as there are processors.
fuzz-servers: SECONDS = 60
fuzz-servers: $(VENV)/.dev
	$(BIN)/python -m tests.examples.servers.fuzz --seconds $(SECONDS)

build-sanitized: $(VENV)/.dev
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)
	cp -rp src setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	find $(SANITIZED) -name '*.so' -delete
	mkdir $(SANITIZED)/build && cp -rp build/cython $(SANITIZED)/build # with their times: none is translated again
	cd $(SANITIZED) && CC=gcc HOMING_SANITIZE=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

figures: $(VENV)/.dev
	$(BIN)/python -m bench --json bench/figures.json --chart docs/images/benchmarks.svg $(ARGS)
	$(BIN)/python -m bench.tables

instructions: $(VENV)/.dev
	$(BIN)/python -m bench.instructions $(ARGS)

# Reads the sources without importing them, so the package itself need not be installed. A warning is an error.
EXTRA_DOCS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")
$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@$(BIN)/python -c '$(EXTRA_DOCS)' > $(VENV)/docs.txt && $(PIP) -r $(VENV)/docs.txt
	@touch $@

docs: $(VENV)/.docs
	rm -rf build/site
	$(BIN)/zensical build --strict --clean
	$(BIN)/python tests/docs/check_site.py build/site

clean:
	find src -name '*.so' -delete
	rm -rf $(VENV) .cache build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
