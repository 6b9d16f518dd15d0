# make demo | test | check | bench | clean   (make help explains)
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
GENERATED := etc/trove/trove.conf.sample etc/trove/policy.yaml.sample src/trove/cmd/local/api-paste.ini README.md doc/api.md doc/openapi.json doc/states.md doc/clients.md doc/support.md

.PHONY: help demo test test-openstack check generate bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Build a real database server through the whole service, use it, remove it
	@tools/setup demo
	@$(PYTHON) tools/demo.py $(ARGS)

test: ## Run every test, with real servers
	@tools/setup test
	@tools/test $(ARGS)

test-openstack: ## Run the tests of a real OpenStack: LAB=<path to the lab program>, or OS_CLOUD=<cloud>; doc/openstack.md tells more
	@tools/setup test
	@tools/test_openstack $(ARGS)

check: ## Lint, types, floors, sizes, generated files
	@tools/setup check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) tools/size_gate.py src
	$(PYTHON) tools/regenerate.py
	git diff --exit-code -- $(GENERATED)

generate: ## Write the generated files again
	@tools/setup check
	$(PYTHON) tools/regenerate.py

bench: ## Measure, and print ratios
	@tools/setup test
	$(PYTHON) -m tests.bench $(ARGS)

clean: ## Remove what building and testing left, and .venv
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
