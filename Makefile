# `make` alone lists the targets. Every target installs what it needs. Where an installation takes
# root and the user is not root, it names the command to run.

SHELL := /bin/sh
.DEFAULT_GOAL := help
# Two cargo builds at once wait for one lock and share one memory.
.NOTPARALLEL:

# rustup's folder is not yet on the PATH of the shell that installed it.
export PATH := $(PATH):$(HOME)/.cargo/bin

# One target folder for the demo, the tests and CI; an inherited one is honoured.
CARGO_TARGET_DIR ?= $(CURDIR)/target
override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export CARGO_TARGET_DIR

# The host's build script embeds every module in this folder (scripts/guests.sh
# fills it). Without the variable, plain `cargo build` makes a binary without guests.
export INNKEEPER_GUEST_MODULES := $(CARGO_TARGET_DIR)/guest-modules

# auto, rustup or debian: see scripts/guests.sh.
GUEST_TOOLCHAIN ?= auto

CARGO ?= cargo
GUESTS := --manifest-path guests/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/guests
INNKEEPER := $(CARGO_TARGET_DIR)/debug/innkeeper
PYTHON := $(CARGO_TARGET_DIR)/venv/bin/python

.PHONY: help
help:
	@echo 'make demo      a demonstration: three nodes, four consumers, guests swapped under them, the leader killed (ARGS=--help)'
	@echo 'make test      run every test: the host'"'"'s, the guests'"'"', the Python client'"'"'s and its own suite'
	@echo 'make soak      run thousands of drawn simulations of whole clusters (SEEDS=20000 for so many, FROM=1000 from there on)'
	@echo 'make build     build the binary, guests inside: $(INNKEEPER)'
	@echo 'make check     check formatting, clippy and rustdoc, warnings denied'
	@echo 'make bench     measure latency and throughput (release build)'
	@echo 'make bench-sustained   measure creates and sets for minutes, beside a real ZooKeeper (release build)'
	@echo 'make bench-cluster   measure three nodes beside three real ZooKeepers: load, fail-over, memory, restarts (release build)'
	@echo 'make bench-hostile   measure clients and a harmless binding beside hostile guests (release build)'
	@echo 'make bench-raft   measure three replicas in three processes: commands per second, what each costs, a leader'"'"'s death, a snapshot'
	@echo 'make bench-sim   measure the CPU time of simulated nodes: idle, per operation, per start, per seed'
	@echo 'make release   build the optimised binary, its debug information beside it'
	@echo 'make man       write the manual pages, in $(CARGO_TARGET_DIR)/man'
	@echo 'make guests    build only the WebAssembly modules (GUEST_TOOLCHAIN=rustup|debian)'
	@echo 'make proofs    write docs/proofs.md anew: which test proves what, by the citations in the code'
	@echo 'make golden-check   replay the golden scripts against a real ZooKeeper'
	@echo 'make admin-shapes   record what a real ZooKeeper tells its operators'
	@echo 'make starts-check   start a real ZooKeeper from thousands of configuration files'
	@echo 'make kazoo-suite-check   run the Python client'"'"'s own suite against a real ZooKeeper'
	@echo 'make oracle    compare the answers of Innkeeper and of a real ZooKeeper, thousands of random cases'
	@echo 'make examples  build the example guests in Python, JavaScript and C, with tools fetched into $(CARGO_TARGET_DIR)'
	@echo 'make test-examples  build them, and run each against a node'
	@echo 'make clean     remove $(CARGO_TARGET_DIR)'

.PHONY: demo
demo: build
	@$(INNKEEPER) demo $(ARGS)

.PHONY: build
build: guests
	$(CARGO) build --workspace --bins

.PHONY: guests
guests: toolchain
	@scripts/guests.sh $(GUEST_TOOLCHAIN)

.PHONY: toolchain
toolchain:
	@scripts/toolchain.sh

# The tests need the guests: a missing one is a failure that names `make guests`.
.PHONY: test
test: test-host test-guests test-clients test-kazoo-suite test-oracle

.PHONY: test-host
test-host: guests
	$(CARGO) test --workspace --no-fail-fast

# Clusters drawn from a seed, under faults: tests/cluster/drawn. Each seed takes about 0.5 s of CPU
# time. A run that fails names its seed, which INNKEEPER_SEEDS=N..N+1 runs again.
SEEDS ?= 5000
FROM ?= 1000
.PHONY: soak
soak: guests
	INNKEEPER_SEEDS=$(FROM)..$$(($(FROM) + $(SEEDS))) $(CARGO) test --workspace --test whole_cluster -- --nocapture clients_see_one_service_whatever_happens_to_its_nodes

# The guests' own logic, natively, and a look at the modules as built; how they run as
# WebAssembly is tested by the host.
.PHONY: test-guests
test-guests: guests
	$(CARGO) test $(GUESTS) --workspace

# PYTEST_ARGS="-k lock -x" narrows it.
.PHONY: test-clients
test-clients: build
	@scripts/python.sh
	INNKEEPER=$(INNKEEPER) $(PYTHON) -m pytest tests/kazoo $(PYTEST_ARGS)

# Guests in other languages than Rust, each by its language's own tools; scripts/examples.sh
# LANGUAGE builds those of one.
.PHONY: examples
examples: toolchain
	@scripts/examples.sh

# `make test-clients` runs them as well.
.PHONY: test-examples
test-examples: build
	@scripts/python.sh
	INNKEEPER=$(INNKEEPER) $(PYTHON) -m pytest tests/kazoo/test_examples.py $(PYTEST_ARGS)

# The Python client's own test suite, outcome by outcome, with one server and with three:
# tests/kazoo_suite/run.py. SUITE_ARGS="-k lock test_lock.py" narrows it.
.PHONY: test-kazoo-suite
test-kazoo-suite: build
	@scripts/python.sh
	@$(PYTHON) -m pytest --quiet -p no:cacheprovider tests/kazoo_suite
	@INNKEEPER=$(INNKEEPER) $(PYTHON) tests/kazoo_suite/run.py $(SUITE_ARGS)
	@INNKEEPER=$(INNKEEPER) $(PYTHON) tests/kazoo_suite/run.py --cluster-size 3 $(SUITE_ARGS)

.PHONY: check
check: check-format check-sharing check-clippy check-doc

# That the demo and the tests build the dependencies once, not twice.
.PHONY: check-sharing
check-sharing: toolchain
	@scripts/sharing.sh

.PHONY: check-tools
check-tools:
	@scripts/toolchain.sh checks

.PHONY: check-format
check-format: check-tools
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path guests/Cargo.toml

.PHONY: check-clippy
check-clippy: check-tools guests
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(GUESTS) --workspace --all-targets -- -D warnings

.PHONY: check-doc
check-doc: check-tools guests
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(GUESTS) --workspace --no-deps

.PHONY: proofs
proofs: toolchain
	INNKEEPER_WRITE_PROOFS=1 $(CARGO) test --workspace --test protocol

.PHONY: release
release: guests
	$(CARGO) build --release --workspace --bins
	@scripts/strip.sh $(CARGO_TARGET_DIR)/release/innkeeper
	@echo 'the binary is $(CARGO_TARGET_DIR)/release/innkeeper, its debug information innkeeper.debug beside it'

.PHONY: man
man: build
	@mkdir -p $(CARGO_TARGET_DIR)/man
	@$(INNKEEPER) man --dir $(CARGO_TARGET_DIR)/man

# Sets `peer` to the option that names a real ZooKeeper, where Java runs it and it can be fetched.
BENCH_PEER = peer=; if command -v java >/dev/null 2>&1 && jars=$$(scripts/zookeeper.sh jars); then peer="--zookeeper-jars $$jars"; else echo 'no ZooKeeper beside it: java is not installed, or its jars cannot be fetched'; fi

.PHONY: bench
bench: release
	@$(BENCH_PEER); $(CARGO_TARGET_DIR)/release/innkeeper-bench --server $(CARGO_TARGET_DIR)/release/innkeeper $$peer $(ARGS)

# A minute each of creates and sets with 1 and with 64 requests in flight, on both servers.
.PHONY: bench-sustained
bench-sustained: release
	@$(BENCH_PEER); $(CARGO_TARGET_DIR)/release/innkeeper-bench --sustained --seconds 60 --server $(CARGO_TARGET_DIR)/release/innkeeper $$peer $(ARGS)

# Three nodes, and three servers of ZooKeeper: throughput and CPU time, the time without an
# acknowledged write after the leader is killed, stopped and cut off, memory and restarts.
# ARGS="--parts failover --failovers 20" measures a part, --znodes 100000,1000000 more of it.
.PHONY: bench-cluster
bench-cluster: release
	@$(BENCH_PEER); $(CARGO_TARGET_DIR)/release/innkeeper-bench --cluster --server $(CARGO_TARGET_DIR)/release/innkeeper $$peer $(ARGS)

# It reports, and never fails: `make test` asserts what does not depend on speed (tests/hostile).
.PHONY: bench-hostile
bench-hostile: release
	$(CARGO_TARGET_DIR)/release/innkeeper-bench --hostile --server $(CARGO_TARGET_DIR)/release/innkeeper $(ARGS)

# As the tests run, not optimised for release: it is what a simulated world costs a test.
.PHONY: bench-raft
bench-raft: guests
	$(CARGO) test --workspace --test processes -- --ignored --nocapture --test-threads 1 measure::figures
	$(CARGO) run --example snapshot_bench

.PHONY: bench-sim
bench-sim: guests
	$(CARGO) test --workspace --test costs -- --nocapture --test-threads 1

# Every answer compared with a real ZooKeeper's, of a node alone and of a follower of three: always
# the same cases here, thousands more by `make oracle` (ARGS="--seed 7" for one, ARGS="--from
# 100000" for others, ARGS="--follower" for those of a follower).
.PHONY: test-oracle
test-oracle: build
	@scripts/oracle.sh --cases 500
	@scripts/oracle.sh --follower --no-coverage --cases 150

.PHONY: oracle
oracle: build
	@scripts/oracle.sh $(if $(ARGS),$(ARGS),--cases 6000)

.PHONY: golden-check
golden-check:
	@scripts/python.sh
	@scripts/zookeeper.sh run $(PYTHON) tests/golden_check.py $(ARGS)

# Records what the words, commands and metrics of a real ZooKeeper look like.
.PHONY: admin-shapes
admin-shapes: guests
	@scripts/admin_shapes.sh

# What a real ZooKeeper does with every key and value of its configuration. `make test` compares
# Innkeeper with the recorded outcomes (ARGS=--record records them anew).
.PHONY: starts-check
starts-check:
	@scripts/starts.sh $(ARGS)

# Runs the Python client's tests against a real ZooKeeper: they ask for what it does.
.PHONY: client-check
client-check: build
	@scripts/python.sh
	INNKEEPER=$(INNKEEPER) scripts/zookeeper.sh run $(PYTHON) -m pytest tests/kazoo $(PYTEST_ARGS)

# Compares the list with a real ZooKeeper, which it comes from. Some tests give a restarted
# server 5 s, and Java needs a quiet machine for that.
.PHONY: kazoo-suite-check
kazoo-suite-check:
	@scripts/python.sh
	@scripts/zookeeper.sh fetch
	@$(PYTHON) tests/kazoo_suite/run.py --server zookeeper --classpath '$(CARGO_TARGET_DIR)/zookeeper/3.9.5/lib/*' $(SUITE_ARGS)
	@$(PYTHON) tests/kazoo_suite/run.py --cluster-size 3 --server zookeeper --classpath '$(CARGO_TARGET_DIR)/zookeeper/3.9.5/lib/*' $(SUITE_ARGS)

.PHONY: clean
clean:
	rm -rf $(CARGO_TARGET_DIR)
