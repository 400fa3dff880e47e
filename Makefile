# What a person (and .ci/run) does with this repository. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-client test-matrix torture faults fuzz bench bench-hot bench-writers bench-churn lint

# rustup's directory is not on PATH in every shell.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# The tests mostly wait (for servers to start, for tokens to end), so that a small machine runs more of them at once than it
# has cores: two for each, and up to 8; a larger one as many as it has, which is what libtest does.
export RUST_TEST_THREADS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? 2 * n : n < 8 ? 8 : n)))

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: a C compiler, make, a PostgreSQL (quick when all is there)
	@scripts/setup.sh

build: setup ## build the program
	cargo build --locked

# Unoptimised: it is built several times sooner, and quick enough for a few rows a second.
demo: setup ## a private PostgreSQL, a table with chat life, and a page to chat in
	cargo run --locked --quiet -- demo

test: ## all tests, on the PostgreSQL that is found (ROWCAST_PG_BIN=DIRECTORY chooses)
	@scripts/setup.sh --tests
	cargo test --locked
	scripts/test-client.sh

test-client: ## the JavaScript client's tests alone: its units, and in Chromium against real relays and proxies
	@scripts/setup.sh --tests
	scripts/test-client.sh

test-matrix: ## the relay's tests on every PostgreSQL at hand, and on npm's 18
	@scripts/setup.sh --tests
	@scripts/setup.sh --matrix
	scripts/test-matrix.sh

# ROWCAST_TORTURE_SECONDS=600 for longer; ROWCAST_TORTURE_SEED=… repeats the choices of the run that printed it.
torture: ## exactly once, for as long as one likes, while relays and servers are killed; 100,000 connects and drops
	@scripts/setup.sh --tests
	ROWCAST_TORTURE_SECONDS=$${ROWCAST_TORTURE_SECONDS:-60} cargo test --locked --test it torture:: -- --nocapture
	ROWCAST_CROWD_CONNECTS=$${ROWCAST_CROWD_CONNECTS:-100000} cargo test --locked --test it crowd::comers -- --nocapture

# ROWCAST_FAULT_SECONDS=60 for longer outages; make test runs the same with outages of a second.
faults: ## every fault of tests/it/faults with outages of 20 s, into docs/reliability.md
	@scripts/setup.sh --tests
	@scripts/faults.sh

# ROWCAST_FUZZ_SECONDS=600 for longer.
fuzz: ## the cursor, the query string and the token path against a fuzzer, a minute each (and minutes to build it)
	@scripts/setup.sh --fuzz
	scripts/fuzz.sh

lint: ## formatting, clippy, rustdoc, tidy rules, licences and sources of the crates; the client's types, build, sizes
	@scripts/setup.sh --lint
	scripts/lint.sh

# ARGS=--quick for a smoke run of three minutes; ARGS=--help lists what can be chosen, ARGS=--list what there is.
bench: ## Rowcast beside Nchan, Pushpin and Node, and beside the limit, into benches/RESULTS.md (about an hour; ARGS="--runs 1" 20 minutes)
	@scripts/setup.sh --bench
	cargo bench --locked --bench relays -- $(ARGS)
	$(if $(ARGS),,@$(MAKE) --no-print-directory bench-hot)

bench-hot: ## the hot functions alone: their time, and their instructions under valgrind
	@scripts/setup.sh --bench
	cargo bench --locked --bench hot
	scripts/instructions.sh

# ARGS=--quick for a smoke run of seconds; ARGS=--help lists what can be chosen.
bench-writers: setup ## what attached tables and journals cost those who write (5 to 10 minutes; needs pgbench)
	cargo bench --locked --bench writers -- writers $(ARGS)

bench-churn: setup ## a simulated day of a journal: does its size level off, does pruning keep up (5 minutes)
	cargo bench --locked --bench writers -- churn $(ARGS)
