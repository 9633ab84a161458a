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
	@python3 -m venv $(VENV) >/dev/null 2>&1 || { \
	  apt-get update -q && apt-get install -qy --no-install-recommends python3-venv && python3 -m venv $(VENV); }
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.done ## the virtual environment that everything else runs in

.PHONY: ebpf
ebpf: # for tests that load programs and compare with bpftrace; without, they are skipped and say so
	@/usr/bin/python3 -c 'import bcc' 2>/dev/null && command -v bpftrace >/dev/null || { \
	  echo "· Debian packages python3-bpfcc, bpftrace"; \
	  apt-get update -q >/dev/null 2>&1; \
	  for package in python3-bpfcc bpftrace; do \
	    apt-get install -qy --no-install-recommends $$package >/dev/null 2>&1 \
	      || echo "  $$package can't be installed: tests that need it are skipped"; \
	  done; }

.PHONY: demo
demo: venv ## two sockets, real workloads, before and after: the whole product in one command
	@lab/lab demo

.PHONY: demo-latency
demo-latency: venv ## redis is slow now and then: numapin names the kernel's timer, and it is mended
	@lab/lab demo-latency

.PHONY: test
test: venv ebpf lint ## unit, integration (real API server) and end to end (the lab)
	@$(PYTEST) -m "not lifecycle"

.PHONY: lifecycle
lifecycle: venv ## upgrades, removal, withheld rights, dead tracers, full sockets in the lab
	@$(PYTEST) -m lifecycle

.PHONY: check
check: venv ebpf lint ## what needs no lab
	@$(PYTEST) -m "not e2e"

.PHONY: unit
unit: venv ebpf ## tests that need nothing but Python
	@$(PYTEST) -m "not integration and not e2e"

.PHONY: integration
integration: venv ## tests against a real etcd and kube-apiserver
	@$(PYTEST) -m integration

.PHONY: e2e
e2e: venv ## tests in the lab: a real kubelet, containerd and kernel on two sockets
	@$(PYTEST) -m "e2e and not lifecycle"

.PHONY: matrix
matrix: venv ## tests against other versions of Kubernetes and Linux; writes docs/compatibility.md
	@lab/lab matrix

.PHONY: images-check
images-check: venv ## build the images twice, without cached layers: they must be the same
	@lab/lab images --check

.PHONY: sbom
sbom: venv ## what is in the images: sbom/*.cdx.json (CycloneDX)
	@lab/lab images --sbom sbom

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

.PHONY: chart
chart: venv ## write the chart's schema, README and dashboard, and what it renders in tests/chart/snapshots
	@$(BIN)/python -m numapin_chart --write
	@$(PYTEST) -q tests/chart/test_snapshots.py -k reviewed --renew-snapshots

.PHONY: lock
lock: venv ## pin versions and hashes of all Python packages anew
	@for part in dev operator agent; do \
	  $(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header --generate-hashes \
	    --extra $$part pyproject.toml -o requirements/$$part.lock; done

.PHONY: docs
docs: venv ## write docs/metrics.md from the metrics in the code
	@PYTHONPATH=lab $(BIN)/python -m numapin_lab.docs --write

.PHONY: clean
clean: ## end the lab and remove what was built in this checkout (the shared cache stays)
	@[ ! -d .lab ] || lab/lab clean
	@rm -rf $(VENV) sbom .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
