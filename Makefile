# TireFit: `make help` lists what there is. Everything lives in .venv and instance/; nothing is installed system-wide.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
TESTS ?= tests
# one more than there are cores, for some tests wait for a browser or for a letter; at most five
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( cores < 4 ? cores + 1 : 5 )))

.PHONY: help run test check bench e2e trials coverage lock
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # six processes import the program: compiled once, they start in a second

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

run: $(VENV)/runs ## serve TireFit with demo data at http://127.0.0.1:5000 (another port: PORT=5001 make run)
	@echo "Starting TireFit …"; TIREFIT_DEMO=$${TIREFIT_DEMO:-1} exec $(PY) -m flask --app app serve

test: $(VENV)/tests ## every test, on SQLite and on PostgreSQL, with a real Valkey and a real SMTP server
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

check: $(VENV)/tests ## formatting, types, templates, imports, translations, leaks
	@scripts/check

bench: $(VENV)/tests ## what the engine costs at one station and at a thousand, beside a raw-driver floor (ten minutes)
	@$(PY) -m bench; engine=$$?; $(PY) -m bench.pages && exit $$engine

.PHONY: soak
soak: $(VENV)/tests ## a long time of requests: does a worker grow, do connections stay few? (200,000; SOAK="--requests 20000" for less)
	@$(PY) -m bench.soak $(SOAK)

e2e: $(VENV)/tests ## the browser tests alone; installs Chromium with apt-get where it can
	@scripts/install-system chromium
	@TIREFIT_REQUIRE_BROWSER=1 $(PY) -m pytest tests/e2e

trials: $(VENV)/tests ## the long form of what crowds, faults, releases and time do, half an hour on an idle machine; installs nginx and Chromium with apt-get where it can (TRIALS="releases faults" for some, TRIALS=all for the generated thousands too)
	@scripts/install-system chromium nginx
	@TIREFIT_REQUIRE_BROWSER=1 $(PY) scripts/trials.py $(TRIALS)

coverage: $(VENV)/tests ## which branches of schedule, booking and notifications no test takes; fails below 95 % of them
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal -q --cov=tirefit/schedule --cov=tirefit/booking --cov=tirefit/notifications \
		--cov-branch --cov-report=term-missing:skip-covered --cov-report=json:instance/coverage.json tests/unit tests/integration
	@$(PY) -c "import json; all = json.load(open('instance/coverage.json'))['totals']; \
		share = all['covered_branches'] / all['num_branches']; print(f'{share:.1%} of branches'); exit(share < 0.95)"

lock: $(VENV)/tests ## make requirements*.txt anew from pyproject.toml (needs uv)
	@scripts/lock

$(VENV)/runs: requirements.txt scripts/install
	@scripts/install $(VENV) requirements.txt
	@touch $@

$(VENV)/tests: requirements-dev.txt requirements.txt scripts/install
	@scripts/install $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/runs

.PHONY: audit
audit: $(VENV)/tests ## ask for known holes in the locked packages; fails when it could not ask (ADVISORIES=folder: without a network)
	@scripts/audit $(ADVISORIES)

.PHONY: screenshots
screenshots: $(VENV)/tests ## take the pictures of README and docs anew
	@scripts/install-system chromium
	@$(PY) scripts/screenshots.py

.PHONY: texts
texts: $(VENV)/tests ## put the program's new texts into the catalogues in translations/
	@$(PY) scripts/translations.py update
