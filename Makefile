# Every target does its own set-up; it needs python3, pip, make and git only.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV := .tools/uv/bin/uv
STAMP := .venv/.synced
unexport PYTHONDONTWRITEBYTECODE
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DO_NOT_TRACK := 1

.PHONY: help setup demo test test-long lint dev dev-test docs bench clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@echo "installing uv into .tools"
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools/uv uv

$(STAMP): uv.lock pyproject.toml | $(UV)
	@echo "installing the locked environment into .venv (once; a minute or two)"
	@$(UV) sync --frozen --compile-bytecode --quiet
	@touch $@

setup: $(STAMP) ## install the locked environment

demo: $(STAMP) ## the main job on a fictitious company: sources to published marts
	@.venv/bin/rapport demo

test: $(STAMP) ## all tests but the long drills, a file at a time on each of two processors
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(STAMP) ## the drills that take minutes
	@.venv/bin/python -m pytest -m long

lint: $(STAMP) ## ruff and sqlfluff, about a minute
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@RAPPORT_CANDIDATE=:memory: .venv/bin/sqlfluff lint dbt_project/models --quiet --processes 2

DBT = mkdir -p var && RAPPORT_CANDIDATE=var/dev.duckdb .venv/bin/dbt
DEV = --quiet --target dev --project-dir dbt_project --profiles-dir dbt_project

dev: $(STAMP) ## build the dbt project on its sample data in seconds, no sources needed
	@$(DBT) build $(DEV) --full-refresh --exclude-resource-type unit_test test
	@echo "built var/dev.duckdb"

dev-test: $(STAMP) ## the dbt project's own tests on the sample, after make dev
	@$(DBT) test $(DEV)

docs: $(STAMP) ## dbt docs as one page, var/docs/index.html
	@mkdir -p var/docs && $(DBT) docs generate $(DEV) --static --target-path "$(CURDIR)/var/docs"
	@mv var/docs/static_index.html var/docs/index.html && echo "wrote var/docs/index.html"

bench: $(STAMP) ## the stages beside their peers and floors, default sizes
	@.venv/bin/python -m benchmarks all

clean: ## remove the environment and everything under var
	@rm -rf .venv .tools var
