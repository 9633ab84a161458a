# Parts of `make test` and `make demo`; each installs what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.done: requirements/dev.lock pyproject.toml
	@echo "· Python packages into $(VENV)"
	@python3 -m venv $(VENV) 2>/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends python3-venv && python3 -m venv $(VENV); }
	@$(VENV)/bin/pip install -q --require-hashes -r requirements/dev.lock
	@$(VENV)/bin/pip install -q --no-deps --no-build-isolation -e . 2>/dev/null || $(VENV)/bin/pip install -q --no-deps -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.done ## the virtual environment that everything runs in

.PHONY: lock
lock: ## pin versions and hashes of all Python packages anew
	$(VENV)/bin/uv pip compile -q --universal --no-emit-index-url --no-header --generate-hashes --extra dev pyproject.toml -o requirements/dev.lock
	$(VENV)/bin/uv pip compile -q --universal --no-emit-index-url --no-header --generate-hashes --extra operator pyproject.toml -o requirements/operator.lock
	$(VENV)/bin/uv pip compile -q --universal --no-emit-index-url --no-header --generate-hashes --extra agent pyproject.toml -o requirements/agent.lock
