# Every target installs what it needs; `make test` and `make demo` are the two to know.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/.done: requirements/dev.lock pyproject.toml
	@echo "· Python packages into $(VENV)"
	@python3 -m venv $(VENV) 2>/dev/null || { \
	  apt-get update -q && apt-get install -qy --no-install-recommends python3-venv && python3 -m venv $(VENV); }
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.done ## the virtual environment that everything else runs in

.PHONY: demo
demo: venv ## two sockets, real workloads, before and after: the whole product in one command
	@lab/lab demo

.PHONY: test
test: venv lint ## every test: unit, integration (real API server), end to end (the lab)
	@$(PYTEST)

.PHONY: check
check: venv lint ## what needs no lab: minutes instead of half an hour
	@$(PYTEST) -m "not e2e"

.PHONY: unit
unit: venv ## tests that need nothing but Python
	@$(PYTEST) -m "not integration and not e2e"

.PHONY: integration
integration: venv ## tests against a real etcd and kube-apiserver
	@$(PYTEST) -m integration

.PHONY: e2e
e2e: venv ## tests in the lab: a real kubelet, containerd and kernel on two sockets
	@$(PYTEST) -m e2e

.PHONY: lint
lint: venv ## ruff, mypy, layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo 2>&1 | grep -vE '^(=|-|$$)'

.PHONY: bench
bench: venv ## measure what design and README claim; prints tables with units
	@PYTHONPATH=lab $(BIN)/python -m bench.run

.PHONY: crds
crds: venv ## write crds/*.yaml and the chart's copies from the pydantic models
	@$(BIN)/python -m numapin_api.crd --write

.PHONY: lock
lock: venv ## pin versions and hashes of all Python packages anew
	@for part in dev operator agent; do \
	  $(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header --generate-hashes \
	    --extra $$part pyproject.toml -o requirements/$$part.lock; done

.PHONY: clean
clean: ## end the lab and remove what was built in this checkout (the shared cache stays)
	@[ ! -d .lab ] || lab/lab clean
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
