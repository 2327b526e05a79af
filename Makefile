# The ways in for people and for CI; `make help` lists them.

PYTHON ?= python3
export PYTHON

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint bench faults soak fuzz boards preview screenshots clean environment style types layers programs browser suite wheel deb ahead

help:
	@echo 'make demo    run the exporter against a simulated Maestro cluster'
	@echo 'make test    everything that CI checks: lint, all tests from the tree, those end to end from the wheel'
	@echo 'make lint    ruff, mypy and the import rules only'
	@echo 'make bench   measure the speed, about 6 minutes; writes bench/RESULTS.md'
	@echo 'make faults  each fault of the link to the broker, about 2 minutes; writes docs/reliability.md'
	@echo 'make soak    random faults for SOAK_MINUTES, by default 10: all is counted, nothing grows'
	@echo 'make fuzz    look for payloads that break the decoder or a page, 5 minutes; see tests/fuzz'
	@echo 'make boards  make the dashboards and the rules of grafana/ anew, after a change of grafana/generator'
	@echo 'make preview draw the dashboards from PROMETHEUS, by default localhost:9090, into build/; needs npm and chromium'
	@echo 'make screenshots  take the pictures of the status page for the docs, about 8 minutes'
	@echo 'make deb     build the Debian package of this tree into dist/'
	@echo 'make clean   remove what the others made'
	@echo
	@echo 'PYTHON=python3.12 make ... takes another Python (3.10 or later).'

# An editable install, so that the demo always runs the code of this checkout.
demo:
	@tools/venv .venv-demo -e '.[demo]'
	@exec .venv-demo/bin/maestro-exporter demo

# The stages, in the order in which they run.
# What takes time and nobody's attention is made beside the first of them, for tests/package.
test: total = 8
test: environment ahead style types layers programs browser suite wheel

lint: total = 4
lint: environment style types layers

bench: total = 3
bench: environment programs
	@echo '[3/3] benchmarks'
	@.venv/bin/python -m bench --write

faults: total = 3
faults: environment programs
	@echo '[3/3] faults'
	@FAULTS_TABLE=docs/reliability.md .venv/bin/python -m pytest tests/faults/test_matrix.py

SOAK_MINUTES ?= 10

soak: total = 3
soak: environment programs
	@echo '[3/3] soak'
	@.venv/bin/python -m tests.faults.soak --minutes $(SOAK_MINUTES)

# For FUZZ_SECONDS in all; what it finds stays in build/fuzz, and the next run goes on from there.
fuzz: total = 2
fuzz: environment
	@echo '[2/2] fuzzing: atheris'
	@.venv/bin/python -m tests.fuzz

boards: total = 2
boards: environment
	@echo '[2/2] boards and rules'
	@.venv/bin/python -m grafana.generator

PROMETHEUS ?= http://localhost:9090

preview:
	@cd grafana/preview && npm install --no-audit --no-fund --loglevel=error && npm run --silent build
	@for board in maestro-test-cluster maestro-brokers; do \
	$(PYTHON) grafana/preview/draw.py $$board build/$$board.png --prometheus $(PROMETHEUS) && \
	echo build/$$board.png || exit; done

screenshots: total = 4
screenshots: environment programs
	@echo '[3/4] browser: chromium axe-core'
	@tools/debian-packages browser
	@tools/axe
	@echo '[4/4] screenshots'
	@.venv/bin/python -m tests.browser.screenshots

deb: total = 2
deb: environment
	@echo '[2/2] Debian package'
	@tools/deb

stage = @echo '[$(1)/$(total)] $(2)'

environment:
	$(call stage,1,environment: .venv)
	@tools/venv .venv -e '.[test]'

# tests/package would make what is missing, and says what went wrong.
ahead:
	@(tools/debian-packages && tools/debian-packages build && tools/deb; \
	tools/debian-root) >/dev/null 2>&1 </dev/null &

style:
	$(call stage,2,style: ruff)
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

types:
	$(call stage,3,types: mypy)
	@.venv/bin/mypy

layers:
	$(call stage,4,layers: lint-imports)
	@.venv/bin/lint-imports --no-logo

programs:
	$(call stage,5,programs: mosquitto prometheus alertmanager node-exporter)
	@tools/debian-packages

browser:
	$(call stage,6,browser: chromium axe-core)
	@tools/debian-packages browser
	@tools/axe

# Most tests wait for something. Two at a time take half as long, also on a single core; those of one
# file stay together, since they share what they have started.
suite:
	$(call stage,7,tests: pytest from the working tree)
	@.venv/bin/python -m pytest -n 2 --dist loadfile

wheel:
	$(call stage,8,packaging: pytest, end to end, against the installed wheel, without tests marked source or long)
	@tools/test-wheel

clean:
	rm -rf .venv .venv-demo build dist ./*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache _trial_temp
	rm -f twistd.log twistd.pid twisted/plugins/dropin.cache
	find maestro_exporter tests twisted -name __pycache__ -prune -exec rm -rf {} +
