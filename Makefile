# `make` alone lists what there is. Everything runs in .venv, which is made when it is needed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
FLORIN := $(BIN)/florin
STAMP := $(VENV)/.complete

# A Python that is asked for (`make env PYTHON=python3.12`) is what .venv is made of, complete or not.
ifdef PYTHON
ifneq ($(shell $(PYTHON) --version 2>&1),$(shell $(BIN)/python --version 2>&1))
.PHONY: $(STAMP)
endif
endif

# The package of generated stubs is a distribution of its own.
STUBS := $(wildcard gen/python/pyproject.toml)

# Where `make tools` and `make jaeger` put what they build; the tests look there, too.
TOOLS := $(CURDIR)/.build/bin

# Two workers fit the smallest machine we care for; tests that share a system stay in one worker.
PYTEST_ARGS ?= -n 2 --dist loadgroup

.PHONY: help env gen plan up down reset status demo test check bench storm lock tools jaeger clean
.PHONY: check-gen check-protos check-format check-lint check-types check-imports

help: ## this list
	@echo "Florin: checkout and payments that account for every cent. The targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Try: make demo"

env: $(STAMP) ## make the environment in .venv (uv if it is there, else pip)

$(STAMP): requirements.txt pyproject.toml $(STUBS)
	@bash tools/make_env.sh $(VENV)
	@touch $@

gen: $(STAMP) ## generate everything that follows from the protos, and the pages made from code
	@$(BIN)/python tools/generate.py

plan: $(STAMP) ## draw the plan of the house: rooms, who imports whom, lines of each
	@PYTHONPATH=. $(BIN)/python -m tools.plan

up: $(STAMP) ## start the system in the background; returns when all is healthy
	@$(FLORIN) up

down: $(STAMP) ## stop all of it; keeps the data
	@$(FLORIN) down

reset: $(STAMP) ## stop all of it and forget the data
	@$(FLORIN) reset --yes

status: $(STAMP) ## what runs, and whether it does its work
	@$(FLORIN) status

demo: $(STAMP) ## the whole system, a mixed set of checkouts, and the proof
	@$(FLORIN) demo

test: $(STAMP) ## the whole suite; says at the end what was skipped and why
	@PATH="$(TOOLS):$$PATH" $(BIN)/python -m pytest -rs $(PYTEST_ARGS) $(ARGS)

bench: $(STAMP) ## the benchmarks, with the audit beside each number
	@$(FLORIN) bench $(ARGS)

storm: $(STAMP) ## replicas killed and added under load for two minutes, and the proof
	@$(FLORIN) storm $(ARGS)

check: check-gen check-protos check-format check-lint check-types check-imports test ## what CI runs

check-gen: $(STAMP)
	@echo "== generated code is what the protos say"
	@$(BIN)/python tools/generate.py --check

check-protos: $(STAMP) check-gen
	@echo "== protos"
	@bash tools/check_protos.sh $(BIN)

check-format: $(STAMP)
	@echo "== format"
	@$(BIN)/ruff format --check .

check-lint: $(STAMP)
	@echo "== lint"
	@$(BIN)/ruff check .

check-types: $(STAMP)
	@echo "== types"
	@$(BIN)/mypy --strict .

check-imports: $(STAMP)
	@echo "== import contracts"
	@$(BIN)/lint-imports

lock: ## pin every dependency by hash, from the ranges in pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "error: uv is needed. Way out: pip install uv" >&2; exit 1; }
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	  --python-version 3.11 --extra stores --extra dev pyproject.toml --output-file requirements.txt

tools: ## build grpcurl with Go, for those who have none
	@bash tools/install_tool.sh $(TOOLS) grpcurl

jaeger: ## build Jaeger with Go, for those who have none; takes ten minutes and 4 GB of disk
	@bash tools/install_tool.sh $(TOOLS) jaeger

clean: ## remove the environment and what was built; the data stays
	@if [[ -x $(FLORIN) ]]; then $(FLORIN) down; fi
	@rm -rf $(VENV) .build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@rm -rf *.egg-info gen/python/*.egg-info build gen/python/build dist gen/python/dist
