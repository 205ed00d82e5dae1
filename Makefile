# `make` checks what CI checks. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin

# Benchmarks: which systems, which scenarios (names or prefixes), how often, on which CPUs.
SYSTEMS ?= gripproxy,pushpin,nchan
SCENARIOS ?= lockstep-stream-1000,proxy-plain,woh-echo-200
REPS ?= 3
PIN ?= pinned
BENCH ?=

# Purges: how long to look for an order of events that breaks what is guaranteed.
SEED ?= 1
SOAK ?=
export SEED

# Stamps: the environment is made once, and again when its inputs change.
PROGRAM := .venv/.program
TOOLS := .venv/.tools
INPUTS := pyproject.toml scripts/virtual-environment

.DEFAULT_GOAL := check
.PHONY: check demo test cache-tests soak-cache setup format format-check lint types layers spell \
	unit stories wire cover bench soak-purge docs clean help

check: format-check lint layers types spell cache-tests test  ## everything that CI checks

demo: $(PROGRAM)  ## proxy and example origin on loopback; prints a URL; Ctrl-C ends it
	$(BIN)/python examples/demo/run.py

test: $(TOOLS)  ## all tests
	scripts/system-packages tests
	$(BIN)/pytest

cache-tests: $(TOOLS)  ## the public suite of HTTP cache tests, against the running program
	scripts/system-packages tests
	$(BIN)/python scripts/cache_tests.py

soak-cache: $(TOOLS)  ## the cache with a million entries and keys, and hammered for a minute
	GRIPPROXY_SOAK_CACHE=1000000 GRIPPROXY_HAMMER=60 $(BIN)/pytest --timeout 600 \
		tests/engine/test_store_at_scale.py tests/wire/test_cache_memory.py \
		tests/wire/test_cache_hammer.py

setup: $(TOOLS)  ## the virtual environment .venv, with the package in editable mode

$(PROGRAM): $(INPUTS)
	scripts/virtual-environment $(PYTHON)
	touch $@

$(TOOLS): $(INPUTS)
	scripts/virtual-environment $(PYTHON) test check libraries
	touch $(PROGRAM) $@

format: $(TOOLS)  ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(TOOLS)
	$(BIN)/ruff format --check .

lint: $(TOOLS)  ## ruff's rules
	$(BIN)/ruff check .

types: $(TOOLS)  ## mypy, strict
	$(BIN)/mypy

layers: $(TOOLS)  ## the import contracts
	$(BIN)/lint-imports

spell: $(TOOLS)  ## codespell
	$(BIN)/codespell

unit: $(TOOLS)  ## the tests without sockets: seconds, for every save
	$(BIN)/pytest tests/protocol tests/engine tests/flow tests/test_shape.py

stories: $(TOOLS)  ## features, told with fakes
	$(BIN)/pytest tests/stories

wire: $(TOOLS)  ## the running program: real sockets, other people's libraries
	scripts/system-packages tests
	$(BIN)/pytest tests/wire

cover: $(TOOLS)  ## all tests with branch coverage; then the pure modules by their own tests
	$(BIN)/pytest --cov --cov-report=term-missing
	scripts/cover-own-tests $(BIN)/python

bench: $(PROGRAM)  ## measure beside the peers: SYSTEMS= SCENARIOS= REPS= PIN= BENCH=
	scripts/system-packages bench
	$(BIN)/python bench/bench.py --systems $(SYSTEMS) --scenarios $(SCENARIOS) --reps $(REPS) \
		--pin $(PIN) --out bench/build/rows.jsonl --table bench/build/table.md $(BENCH)

soak-purge: $(TOOLS)  ## a million interleavings of requests and purges; SEED= SOAK="--seconds 300"
	$(BIN)/python scripts/soak_purge.py $(SOAK)

docs: $(TOOLS)  ## config/gripproxy.conf and the reference, printed from the tables; then the links
	$(BIN)/python scripts/print_docs.py
	$(BIN)/pytest --quiet tests/test_shape.py

clean:  ## remove what the others made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	rm -rf bench/build && find . -name __pycache__ -not -path '*/node_modules/*' -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 14
