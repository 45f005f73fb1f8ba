BIN := .venv/bin
N ?= 20
SEEDS ?= 5

.PHONY: setup demo test test-fast check bench experiments soak clean

setup:                  ## .venv, dependencies, engine, images; quick when all is there
	@.ci/setup

demo: setup             ## a power cut that loses nothing, and the incident of 2009
	$(BIN)/holdfast run experiments/power_cut.yaml --expect
	$(BIN)/holdfast run experiments/sidekick_minimal.yaml --expect

test: setup check       ## everything that a change must pass
	$(BIN)/pytest tests/unit tests/contract tests/integration tests/reproduced experiments

test-fast:              ## unit tests: no engine, seconds
	$(BIN)/pytest -q tests/unit

check:                  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup            ## figures against their bounds; also in reports/bench.json
	$(BIN)/python -m tests.bench

experiments: setup      ## every experiment with SEEDS seeds against its expected verdict
	$(BIN)/python experiments/run_all.py --seeds $(SEEDS)

soak: setup             ## kill -9 of the controller at N random instants; nothing may be left
	$(BIN)/python tests/soak.py $(N)

clean:                  ## runs, images and cache of Holdfast, then .venv and the tools' caches
	-$(BIN)/holdfast clean --all
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis allure-results build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
