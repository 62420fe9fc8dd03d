# SPDX-License-Identifier: Apache-2.0
# `make demo` runs the main job, `make test` everything.  Both install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.PHONY: help setup demo bench test test-all test-setup-double unit lint clean
.PHONY: _host _guests
BIN := .venv/bin
# pytest workers: the guests share the machine's cores
N ?= 2
PYTEST = $(BIN)/python -m pytest --dist loadscope $(PYTEST_ARGS)

help:
	@printf '%s\n' 'make demo   set up, boot a guest, run the catalogue against the sample target, report in out/demo/' \
	               'make test   lint, unit, component (Wine on this host) and end-to-end tests (QEMU)' \
	               'make test-all   the same, with the seeded defects that nothing can have touched; for the night' \
	               'make bench  measure leases, requests and the catalogue: out/bench.json and a table' \
	               'make test-setup-double   of these, a Windows installation played by a double' \
	               'make unit   the tests that need no guest, compiler, Wine or network' \
	               'make lint   ruff, mypy --strict, import-linter, clang warnings as errors' \
	               'make clean  remove images, templates, builds and what dead runs left'

setup:
	@scripts/setup.sh demo

demo: setup
	@$(BIN)/kshs run -n $(N) --out out/demo

bench: setup
	@$(BIN)/kshs bench --out out/bench.json

# Tests on this host and tests with guests run side by side, since either waits for much (docs/tests.md).
# override: arguments of a command line come on top of it
test: override PYTEST_ARGS += --leave-out-unchanged
# At how many moments runs are killed and gone on with
test-all: export KSHS_TEST_KILLS ?= 20
# How many hostile capsules are opened
test-all: export KSHS_TEST_CAPSULES ?= 1000
# How often a recorded failure is replayed; 0 leaves that out
test-all: export KSHS_TEST_REPLAYS ?= 20
# How many sound runs have to say nothing new
test-all: export KSHS_TEST_SOUND_RUNS ?= 50
# Of which seeded defects a trace is taken, played and minimised
test-all: export KSHS_TEST_TRACED ?= all
test test-all:
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j2 _host _guests PYTEST_ARGS='$(PYTEST_ARGS)'

# Whole lines, since two sessions print at the same time
LINES = 2>&1 | grep --line-buffered ""

# Guests take longest, so they come first; one worker more, for when they are through.
_host:
	nice -n 5 $(PYTEST) -n $$(($(N) + 1)) -m "not e2e" $(LINES)

_guests:
	$(PYTEST) -n $(N) -m e2e tests/e2e --ignore tests/e2e/test_windows_leases.py $(LINES)
# in a process of its own: it has a runtime directory of its own, and libvirt's embedded driver one root a process
	$(BIN)/python -m pytest -m e2e tests/e2e/test_windows_leases.py $(LINES)

# The setup double plays a whole Windows installation, on UEFI and BIOS and with faults; part of `make test`.
test-setup-double:
	@scripts/setup.sh test
	$(PYTEST) -n $(N) tests/e2e -k setup_double

unit:
	@scripts/setup.sh test
	$(PYTEST) -n $(N) -m "not component and not e2e"

lint:
	@scripts/setup.sh test
	$(BIN)/ruff check drivers vm harness tests examples
	$(BIN)/ruff format --check drivers vm harness tests examples
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/kshs build

clean:
	@if [ -x $(BIN)/kshs ]; then $(BIN)/kshs clean --all; fi
	rm -rf build out .venv
