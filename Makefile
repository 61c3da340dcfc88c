# ---- deployment: SAM and its checks ---------------------------------------------------------------------------------
# The tools of requirements.txt live in a virtual environment of this folder; nothing is installed elsewhere.
VENV := .venv
VENV_BIN := $(abspath $(VENV))/bin
VENV_STAMP := $(VENV)/.requirements
# No telemetry, no region or account of the caller's.
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 PATH="$(VENV_BIN):$$PATH" $(VENV_BIN)/sam

$(VENV_STAMP): requirements.txt
	python3 -m venv $(VENV)
	$(VENV_BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

.PHONY: venv
venv: $(VENV_STAMP) ## the SAM and cargo-lambda tools, in .venv

.PHONY: sam-validate
sam-validate: $(VENV_STAMP) ## sam validate, plain and with --lint: they find different mistakes
	$(SAM) validate
	$(SAM) validate --lint

# Called by sam build, in a copy of schemas/: the layer's files end up under /opt/schemas.
.PHONY: build-SchemasLayer
build-SchemasLayer:
	mkdir -p "$(ARTIFACTS_DIR)/schemas"
	cp -R . "$(ARTIFACTS_DIR)/schemas"

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
