# What a newcomer types. Everything built or downloaded lives outside the repository.
SHELL := bash

CACHE ?= $(HOME)/.cache/bailiwick
export BAILIWICK_CACHE := $(CACHE)
export BAILIWICK_VENV ?= $(CACHE)/venv
export CARGO_TARGET_DIR ?= $(CACHE)/target
GUNGRAUN := $(shell sed -n 's/^gungraun = "=\(.*\)"/\1/p' Cargo.toml)
export BAILIWICK_BIN ?= $(CARGO_TARGET_DIR)/release/bailiwick

.PHONY: help demo test interop bench instructions build fmt venv

help: ## Lists these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

demo: build ## Real multi-agent work on real input, through real delegation
	BAILIWICK_DEMO_VENV=$(BAILIWICK_VENV) examples/agentdojo/run.sh $(ARGS)

test: ## Every check; the last line says how many passed and failed
	xtask/test.sh

interop: build venv ## Slow suites against other people's programs
	interop/run.sh $(SUITES)

bench: build ## Benchmarks of the crates, then of the running service
	cargo bench --locked -p bailiwick-core -p bailiwick-policy -p bailiwick-ledger \
	  --bench verify --bench decide --bench ledger
	$(BAILIWICK_BIN) bench $(ARGS)
	command -v nginx > /dev/null || apt-get install --yes --quiet nginx-light
	$(BAILIWICK_BIN) bench gateway
	$(BAILIWICK_BIN) bench feed

instructions: ## Counts of instructions under Valgrind (optional): verify, decide, JCS, settle
	command -v valgrind > /dev/null || apt-get install --yes --quiet valgrind
	cargo install --quiet --locked --root $(CACHE)/tools --version $(GUNGRAUN) gungraun-runner
	GUNGRAUN_RUNNER=$(CACHE)/tools/bin/gungraun-runner \
	  cargo bench --locked -p bailiwick-core -p bailiwick-policy --bench instructions

build: ## The release binary
	cargo build --locked --release -p bailiwick

fmt: ## Formats the Rust code
	cargo fmt --all

venv: ## The Python environment that the tests use
	xtask/venv.sh
