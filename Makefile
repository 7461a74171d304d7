# The commands of a checkout. `make help` lists them.

PYTHONS := python3.13 python3.12 python3.11 python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults check format bench lock clean

help: ## Show these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Make .venv with everything that requirements.lock names
	@echo "$(VENV) is ready"

$(STAMP): requirements.lock pyproject.toml
	@set -e; found=; bare=; \
	for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
	  [ -n "$$bare" ] || bare=$$python; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	  version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$bare lacks its venv module. On Debian and Ubuntu: apt-get install python$$version-venv" >&2; \
	  exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or newer is needed and was not found. On Debian and Ubuntu: apt-get install python3 python3-venv" >&2; \
	  exit 1; \
	fi; \
	echo "Installing into $(VENV) (the first time takes a minute or two)"; \
	"$$found" -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## Trade on paper. SESSIONS=5 DATA SESSION SYMBOLS PROFILE BROKER=alpaca-local PORT UI=0 RESET=1
	@$(BIN)/trading-platform demo \
	  $(if $(DATA),--data "$(DATA)") $(if $(SESSION),--session "$(SESSION)") $(if $(SYMBOLS),--symbols "$(SYMBOLS)") \
	  $(if $(SESSIONS),--sessions "$(SESSIONS)") $(if $(PROFILE),--profile "$(PROFILE)") $(if $(PORT),--port "$(PORT)") \
	  $(if $(BROKER),--broker "$(BROKER)") \
	  $(if $(filter 0,$(UI)),--no-ui) $(if $(filter 1,$(RESET)),--reset)

# Two more than there are cores: many tests wait, for servers, pages and clocks.
WORKERS = $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 2)')

test: $(STAMP) ## Run every test
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder

faults: $(STAMP) ## Crash and fault schedules over the three brokers. SEED SCHEDULES=2000 FIRST BROKER SECONDS=60 KILLS=50
	@$(BIN)/python -W ignore -m trading_platform_tests.faults.campaign \
	  $(if $(SEED),--seed "$(SEED)") $(if $(SCHEDULES),--schedules "$(SCHEDULES)") \
	  $(if $(FIRST),--first "$(FIRST)") $(if $(BROKER),--broker "$(BROKER)")
	@$(if $(FIRST),true,SECONDS=$(or $(SECONDS),60) $(BIN)/python -m trading_platform_tests.faults.ownership_race)
	@$(if $(FIRST),true,FRESH_KILLS=$(or $(KILLS),50) $(BIN)/python -m pytest -q -n 2 -k fresh_process \
	  trading_platform_tests/faults/test_kill_and_resume.py)

check: $(STAMP) ## Format, lint, types, direction of imports, dead code
	@echo "format" && $(BIN)/ruff format --check --quiet . \
	  || { echo "some files are not formatted: run make format" >&2; exit 1; }
	@echo "lint" && $(BIN)/ruff check --quiet .
	@echo "types" && $(BIN)/mypy --no-error-summary
	@echo "direction of imports" && { report=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$report"; exit 1; }; }
	@echo "dead code" && $(BIN)/vulture

format: $(STAMP) ## Format the sources and mend what can be mended
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: $(STAMP) ## Run every benchmark. PEERS=FOLDER of virtual environments with other engines
	@set -e; for benchmark in benchmarks/*.py; do \
	  [ -e "$$benchmark" ] || { echo "there are no benchmarks"; exit 0; }; \
	  echo "$$benchmark"; $(if $(PEERS),PEERS="$(PEERS)") $(BIN)/python "$$benchmark"; \
	done

lock: $(STAMP) ## Write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## Remove caches; data in var and the environment stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist .tmp_dagster_home_*
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
