# What a person types. Every target that needs more than Rust starts with `setup`, so that a fresh clone
# on a fresh machine works; every one that needs RocksDB starts with `rocksdb`, which builds its library
# once for all profiles.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests test-console demo demo-x402 demo-cluster x402-kills test test-evm flip bench bench-recover bench-history bench-batch bench-settle bench-statement bench-flood bench-abuse bench-tls bench-bundles bench-backup bench-x402 bench-console bench-consoles bench-compare bench-close bench-mixes bench-overload bench-peers bench-plots lint clean-demo \
  dist check-unit alerts deny check-verify check-bounds bench-verify fuzz-verify miri-verify crash chaos cluster-chaos age sim sim-canary check \
  rocksdb

CARGO ?= cargo
# Where cargo builds. Set CARGO_TARGET_DIR to keep builds outside the clone.
TARGET := $(or $(CARGO_TARGET_DIR),target)
ENGINE := $(TARGET)/release/tallystick
LOADGEN := $(TARGET)/release/tallystick-loadgen
CRASH := $(TARGET)/release/tallystick-crash
CHAOS := $(TARGET)/release/tallystick-chaos
CLUSTER := $(TARGET)/release/tallystick-cluster
FLIP := $(TARGET)/release/tallystick-flip
LARGE := $(TARGET)/release/tallystick-large
AGE := $(TARGET)/release/tallystick-age
SIM := $(TARGET)/release/tallystick-sim
STREAM_SIM := $(TARGET)/release/tallystick-stream-sim
# Vouchers that the demo signs and clears.
DEMO_VOUCHERS ?= 1000000
DEMO_DIR ?= target/demo
# 1: leave an engine at work on what the demo made, and print a link to its console.
DEMO_KEEP ?=
# Calls that the demo of x402 pays for.
DEMO_CALLS ?= 30000
DEMO_X402_DIR ?= target/demo-x402
# Vouchers that the demo of a cluster sends while engines and servers are killed: 40000 at least.
DEMO_CLUSTER_VOUCHERS ?= 60000
DEMO_CLUSTER_DIR ?= target/demo-cluster
# Kills of `make crash`, and how long it stops the engine once.
ROUNDS ?= 1000
STOP_SECONDS ?= 30
# Legs that `make chaos` settles.
LEGS ?= 20000
# Legs of the batch that `make bench-settle` settles, and more of its arguments: see --help.
LARGE_LEGS ?= 1000000
LARGE_ARGS ?=
# More arguments of `make bench-statement`: see --help.
STATEMENT_ARGS ?=
# Rounds of quiet and flood in turn, and more arguments of `make bench-flood`: see floods --help.
FLOOD_ROUNDS ?= 3
FLOOD_ARGS ?=
# The same of `make bench-abuse`: see abuse --help.
ABUSE_ROUNDS ?= 3
ABUSE_ARGS ?=
# Rounds of `make bench-tls`, and more of its arguments: see tls --help.
TLS_ROUNDS ?= 5
TLS_ARGS ?=
# The same of `make bench-bundles`: see bundles --help.
BUNDLES_ROUNDS ?= 5
BUNDLES_ARGS ?=
BACKUP_ROUNDS ?= 5
BACKUP_ARGS ?=
# What `make x402-kills` pays and kills.
X402_PAYMENTS ?= 100000
X402_KILLS ?= 10
X402_SEED ?= 1

# Rounds of `make bench-x402`, and more of its arguments: see x402 --help. PLAIN=1: the reference without Express.
X402_ROUNDS ?= 5
X402_ARGS ?=
X402_BENCH := bench/x402
# Which revision `make bench-compare` compares with this one, what both are sent (agents, new-channels, bad, uniform), how
# often they take turns (unless ROUNDS is given), and more of its arguments: see compare --help.
REV ?=
BENCH ?= agents
BENCH_ROUNDS := $(if $(filter command line environment,$(origin ROUNDS)),$(ROUNDS),5)
COMPARE_ARGS ?=
# Pairs of the window that `make bench-close` closes, and more of its arguments: see close --help.
PAIRS ?= 1000000
CLOSE_ARGS ?=
# More arguments of `make bench-overload`, `make bench-mixes` and `make bench-peers`.
OVERLOAD_ARGS ?=
MIXES_ARGS ?=
PEERS_ARGS ?=
# Where benches leave their results, for `make bench-plots`.
RESULTS := $(TARGET)/bench
# Windows that `make age` closes, and batches that it settles.
WINDOWS ?= 5000
BATCHES ?= 500
# Bits that flip flips.
POSITIONS ?= 1000
# Signatures that check-verify compares, and where its random numbers start.
CASES ?= 1000000
SEED ?= 1
# Runs of the simulator, from SEED on. TWICE=1 runs each again and compares the bytes; TRACE=1 tells
# every step.
SEEDS ?= 1000
TWICE ?=
TRACE ?=
# Seeds within which the simulator must catch a planted bug.
CANARY_SEEDS ?= 200
# The same for check-bounds, which is half as fast.
BOUND_CASES ?= 100000
# How long fuzz-verify looks for a difference.
SECONDS_MAX ?= 60
# crossbeam-epoch breaks the older aliasing model on purpose and frees nothing at exit; proptest reads
# the current folder. The tests are those that an interpreter ends in minutes; the shared pointers of
# tables.rs, all the `unsafe` that miri can see, are among them.
MIRIFLAGS ?= -Zmiri-tree-borrows -Zmiri-ignore-leaks -Zmiri-permissive-provenance \
  -Zmiri-disable-isolation
MIRI_TESTS ?= tables:: key:: confirm:: backend:: scalar::tests::s_is scalar::tests::the_constants \
  portable::point::tests::any
MIRI_CASES ?= 2

help: ## Show this help
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) \
	  | while IFS='|' read -r name what; do printf '  %-12s %s\n' "$$name" "$$what"; done
	@echo 'Variables: DEMO_VOUCHERS=$(DEMO_VOUCHERS) DEMO_DIR=$(DEMO_DIR) CASES=$(CASES) SEED=$(SEED)'
	@echo '  SEEDS=$(SEEDS) LEGS=$(LEGS) ROUNDS=$(ROUNDS) STOP_SECONDS=$(STOP_SECONDS) POSITIONS=$(POSITIONS)'
	@echo '  CARGO_TARGET_DIR=$(TARGET)'

setup: ## Install what the build and the tests need (apt-get, when allowed)
	@.ci/setup

setup-tests: ## The same, and a browser for the tests of the client library
	@.ci/setup tests

rocksdb: setup ## Build RocksDB's library, once: for `cargo build`, too
	@engine/rocksdb/setup $(TARGET)

demo: rocksdb ## Sign, stream, net and settle DEMO_VOUCHERS vouchers, and check every sum
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) demo --engine $(ENGINE) --dir $(DEMO_DIR) --vouchers $(DEMO_VOUCHERS) \
		$(if $(filter 1,$(DEMO_KEEP)),--keep)

demo-x402: rocksdb ## Three agents pay a shop on Express for DEMO_CALLS calls; one leg each; all books compared
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@examples/x402/run.sh $(abspath $(ENGINE)) $(abspath $(DEMO_X402_DIR)) $(DEMO_CALLS)

demo-cluster: rocksdb ## Three engines on three NATS servers: the owner and a server are killed under load; all books compared
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@nats=$$(tests/nats/setup) && examples/cluster/demo.py --engine $(abspath $(ENGINE)) --loadgen $(abspath $(LOADGEN)) \
	  --nats $$nats --dir $(DEMO_CLUSTER_DIR) --vouchers $(DEMO_CLUSTER_VOUCHERS)

test: setup-tests test-evm binaries faults ## All tests: Rust (unit, end to end, crash), contract, Python client, client libraries
	@tests/nats/setup >/dev/null
	$(CARGO) test --release --locked --workspace
	TALLYSTICK_BIN=$(abspath $(ENGINE)) tests/python/run.sh
	TALLYSTICK_BIN=$(abspath $(ENGINE)) tests/clients/run.sh

test-console: setup-tests binaries ## The console in a real Chromium against the real engine: every page, every role, axe-core; the last line is JSON
	engine/console/vendor/check
	@TALLYSTICK_BIN=$(abspath $(ENGINE)) tests/console/run.sh

x402-kills: rocksdb ## X402_PAYMENTS paid requests: a tenth of all answers lost, a tenth sent twice, X402_KILLS times kill -9; all books compared
	$(CARGO) build --release --locked --workspace --bin tallystick
	@TALLYSTICK_BIN=$(abspath $(ENGINE)) PAYMENTS=$(X402_PAYMENTS) KILLS=$(X402_KILLS) SEED=$(X402_SEED) tests/clients/run.sh kills

dist: rocksdb ## Pack what runs as a service: a .deb and a tarball in target/dist, same bytes for the same commit
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@dist/build $(abspath $(TARGET))/release $(abspath $(TARGET))/dist

alerts: ## Check the alert rules with promtool, and make each of them fire
	@.ci/alerts $(abspath $(TARGET))

check-unit: ## Have systemd look at the unit: what it does not understand, and what it leaves open
	@command -v systemd-analyze >/dev/null || { echo 'check-unit: needs systemd-analyze (package systemd)' >&2; exit 1; }
	! systemd-analyze verify --man=no dist/tallystick.service 2>&1 | grep -v 'is not executable'
	systemd-analyze security --offline=true --threshold=15 dist/tallystick.service >/dev/null

deny: ## Licences, sources and crates that are kept out; advisories where their data can be had (cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo 'deny: needs cargo-deny: cargo install --locked cargo-deny' >&2; exit 1; }
	$(CARGO) deny --locked check bans licenses sources
	@if $(CARGO) deny --locked fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	  else echo 'deny: advisories were not checked: their data cannot be had here'; fi

test-evm: setup ## Install what the rail evm is tested with; the contract's own tests, and its gas
	@engine/evm/setup
	cd engine/evm && node --test test/*.test.mjs

crash: setup binaries ## Kill -9 the engine ROUNDS times under load and check what it holds
	@$(CRASH) --rounds $(ROUNDS) --seed $(SEED) --stop-seconds $(STOP_SECONDS)

chaos: setup binaries ## Settle LEGS legs over a provider and a chain that fail, killing all; compare books
	@engine/evm/setup
	@$(CHAOS) --legs $(LEGS) --seed $(SEED)

cluster-chaos: setup binaries ## Two nodes on three NATS servers: ROUNDS kills of nodes and servers under load; compare books
	@tests/nats/setup >/dev/null
	@$(CLUSTER) --rounds $(ROUNDS) --seed $(SEED)

sim: setup binaries ## Simulate core, and owners of a stream, over SEEDS seeds: crashes everywhere, against models
	@$(STREAM_SIM) --seeds $(SEEDS) --seed $(SEED) $(if $(TWICE),--twice)
	@$(SIM) --seeds $(SEEDS) --seed $(SEED) $(if $(TWICE),--twice) $(if $(TRACE),--trace)

sim-canary: setup faults ## The same with planted bugs: each must be caught
	@$(STREAM_SIM)-canary --seeds $(CANARY_SEEDS)
	@$(SIM)-canary --seeds $(CANARY_SEEDS)

flip: setup binaries ## Flip POSITIONS bits of a data directory and an export; each must be noticed
	@$(FLIP) --positions $(POSITIONS) --seed $(SEED)

bench: rocksdb ## Benchmarks of the parts
	$(CARGO) bench --profile release --locked --workspace --bench stages

bench-recover: rocksdb ## How long a start takes: a checkpoint of a million channels, and the replay behind it
	$(CARGO) bench --profile release --locked --workspace --bench recover

bench-history: rocksdb ## How long a start takes after 2,000 windows, 300,000 limits and 10,000,000 moves of legs
	$(CARGO) bench --profile release --locked --workspace --bench history

bench-batch: rocksdb ## A batch of a million legs: computed, rendered, written to disk
	$(CARGO) bench --profile release --locked --workspace --bench batch

bench-flood: rocksdb ## An honest client beside each kind of flood: FLOOD_ROUNDS rounds, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) floods --engine $(ENGINE) --rounds $(FLOOD_ROUNDS) $(FLOOD_ARGS)

bench-abuse: rocksdb ## An honest client beside what the Internet tries: ABUSE_ROUNDS rounds, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) abuse --engine $(ENGINE) --rounds $(ABUSE_ROUNDS) $(ABUSE_ARGS)

bench-tls: rocksdb ## What TLS costs of the throughput: TLS_ROUNDS rounds with and without, in turn, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) tls --engine $(ENGINE) --rounds $(TLS_ROUNDS) $(TLS_ARGS)

bench-bundles: rocksdb ## Credits a second of vouchers and of bundles of eight: BUNDLES_ROUNDS rounds in turn, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) bundles --engine $(ENGINE) --rounds $(BUNDLES_ROUNDS) $(BUNDLES_ARGS)

bench-backup: rocksdb ## What backups cost who waits for acks: BACKUP_ROUNDS rounds with and without, in turn, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) backup --engine $(ENGINE) --rounds $(BACKUP_ROUNDS) $(BACKUP_ARGS)

bench-x402: rocksdb $(X402_BENCH)/node_modules/.package-lock.json ## x402's verify and settle, beside a facilitator of the reference SDK: X402_ROUNDS rounds in turn, medians
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) x402 --engine $(ENGINE) --reference $(X402_BENCH)/reference.mjs --rounds $(X402_ROUNDS) $(X402_ARGS)

bench-console: setup-tests binaries ## First views and memory of the console's pages: 1,000 windows, 100,000 parties, a batch of 1,000,000 legs; the last line is JSON
	@TALLYSTICK_BIN=$(abspath $(ENGINE)) tests/console/run.sh bench

bench-consoles: setup-tests binaries ## Ack latency with ten consoles open and without, in turn, medians; the last line is JSON
	@TALLYSTICK_BIN=$(abspath $(ENGINE)) tests/console/run.sh consoles

bench-compare: rocksdb ## This engine beside that of another revision: REV=..., BENCH=agents, ROUNDS=5 in turn; the last line is JSON
	@[ -n "$(REV)" ] || { echo 'bench-compare: with which revision? make bench-compare REV=...' >&2; exit 2; }
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@CARGO="$(CARGO)" bench/compare/build "$(REV)" "$(TARGET)" >$(TARGET)/compare-engine
	@$(LOADGEN) compare --rev "$(REV)" --before "$$(tail -n 1 $(TARGET)/compare-engine)" --engine $(ENGINE) --bench $(BENCH) \
	  --rounds $(BENCH_ROUNDS) --report $(RESULTS)/compare-$(BENCH).json $(COMPARE_ARGS)

bench-close: rocksdb ## A window of PAIRS pairs from its cut to its batch, while ingest goes on; the last line is JSON
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) close --engine $(ENGINE) --pairs $(PAIRS) --report $(RESULTS)/close-$(PAIRS).json $(CLOSE_ARGS)

bench-mixes: rocksdb ## Beside agents: every voucher a new channel, a tenth forged, half of the maximum, vouchers alone; the last line is JSON
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) mixes --engine $(ENGINE) --rounds $(BENCH_ROUNDS) --report $(RESULTS)/mixes.json $(MIXES_ARGS)

bench-overload: rocksdb ## Twice what the engine can do, on an open loop; the last line is JSON
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) overload --engine $(ENGINE) --report $(RESULTS)/overload.json $(OVERLOAD_ARGS)

bench-peers: rocksdb ## This engine beside PostgreSQL and TigerBeetle, those that are here, in turn; the last line is JSON
	$(CARGO) build --release --locked --workspace --bin tallystick --bin tallystick-loadgen
	@$(LOADGEN) peers --engine $(ENGINE) --rounds $(BENCH_ROUNDS) --report $(RESULTS)/peers.json $(PEERS_ARGS)

bench-plots: ## Draw what the benches found, from their results into docs/bench
	$(CARGO) run --release --locked -p tallystick-plots -- $(RESULTS) docs/bench

# npm writes it when all is installed.
$(X402_BENCH)/node_modules/.package-lock.json: $(X402_BENCH)/package-lock.json
	@command -v npm >/dev/null || { echo 'bench-x402: needs Node.js 20 and npm' >&2; exit 1; }
	npm ci --silent --no-progress --prefix $(X402_BENCH)

bench-statement: setup binaries ## A statement of a million entries around four of ours: time and memory
	@$(TARGET)/release/tallystick-statement $(STATEMENT_ARGS)

bench-settle: setup binaries ## A batch of LARGE_LEGS legs through the real engine: computed, approved, all files out
	@$(LARGE) --legs $(LARGE_LEGS) $(LARGE_ARGS)

age: setup binaries ## A long life: WINDOWS windows and BATCHES settled batches with few open files allowed
	@$(AGE) --windows $(WINDOWS) --batches $(BATCHES)

check: rocksdb ## The inner loop: format, layers, clippy and unit tests, all in the fast dev profile
	$(CARGO) fmt --all --check
	.ci/layers
	.ci/tidy
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked --workspace --lib

lint: rocksdb ## Format, layers and clippy, as CI checks them
	$(CARGO) fmt --all --check
	.ci/layers
	.ci/tidy
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings

check-verify: ## Compare CASES signatures, random and forged, with dalek's verify_strict
	$(CARGO) run --release --locked -p tallystick-verify --example check -- \
	  --cases $(CASES) --seed $(SEED)

check-bounds: ## The verifier's unit tests, and forged cases, with all bounds of its arithmetic asserted
	$(CARGO) test --profile checked --locked -p tallystick-verify --lib
	$(CARGO) run --profile checked --locked -p tallystick-verify --example check -- \
	  --cases $(BOUND_CASES) --seed $(SEED)

bench-verify: ## Signatures per second of every method in one run; writes target/bench/verify.json
	$(CARGO) bench --profile release --locked -p tallystick-verify --features dalek-batch \
	  --bench verify_parts -- --noplot
	$(CARGO) bench --profile release --locked -p tallystick-verify --features dalek-batch \
	  --bench verify
	cd engine/verify/rival && RUSTFLAGS='-C target-cpu=native' $(CARGO) run --release --locked

fuzz-verify: ## Fuzz the verifier against dalek for SECONDS_MAX seconds (nightly, cargo-fuzz)
	@$(CARGO) +nightly --version >/dev/null 2>&1 \
	  || { echo 'fuzz-verify: needs nightly Rust: rustup toolchain install nightly' >&2; exit 1; }
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 \
	  || { echo 'fuzz-verify: needs cargo-fuzz: cargo install --locked cargo-fuzz' >&2; exit 1; }
	cd engine/verify && $(CARGO) +nightly fuzz run verdicts -- \
	  -max_total_time=$(SECONDS_MAX) -max_len=1024 -print_final_stats=1

miri-verify: ## Run the verifier's unit tests under miri (nightly, miri)
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { echo 'miri-verify: needs miri:' \
	  'rustup toolchain install nightly --component miri --component rust-src' >&2; exit 1; }
	MIRIFLAGS='$(MIRIFLAGS)' PROPTEST_CASES=$(MIRI_CASES) \
	  $(CARGO) +nightly miri test --locked -p tallystick-verify --lib -- $(MIRI_TESTS)

clean-demo: ## Remove what the demo left
	rm -rf -- $(DEMO_DIR) $(DEMO_X402_DIR) $(DEMO_CLUSTER_DIR)

.PHONY: binaries faults
# The engine with fail points, and the simulator with planted bugs, for tests: other binaries, so that the
# ordinary one never has them. The same dependencies with the same features, so that only the engine
# itself is compiled again, once for both.
faults: binaries
	$(CARGO) build --release --locked --workspace --bin tallystick-faults \
	  --bin tallystick-sim-canary --bin tallystick-stream-sim-canary \
	  --features tallystick/faults,tallystick-sim/canary,tallystick-stream-sim/canary

binaries: rocksdb
	$(CARGO) build --release --locked --workspace --bins
