BIN := .venv/bin
N ?= 20
SEEDS ?= 5
CUTS ?= 100
JOBS ?= 2
# bugs of the zoo on which ways of choosing schedules are compared, and those of the sample
COMPARED := fsync_off acknowledged_before_commit photo_not_synced row_before_photo commit_not_waited_for \
    written_back_later unlinked_without_the_folder flush_retried
SAMPLE := fsync_off acknowledged_before_commit written_back_later
# tests at once: those on the engine mostly wait
WORKERS ?= 2
# of the experiments those of `make demo`, and of each kind of fault one; all others are for `make test-full`
TESTED := $(addprefix experiments/,steady.yaml power_cut.yaml power_cut_fsync_off.yaml disk_io_error.yaml \
    kill_gateway.yaml lost_replies.yaml lost_replies_without_keys.yaml sidekick_minimal.yaml plain_postgres \
    syncstack/sidekick_2009.yaml syncstack/san_loss.yaml incident/s3_one_array.yaml)

.PHONY: setup browser demo test test-full test-fast check bench experiments calibrate zoo zoo-shown zoo-uniform zoo-sample soak engines clean

setup:                  ## .venv, dependencies, engine, images; quick when all is there
	@.ci/setup

demo: setup             ## the incident of 2009, and the same loss where every copy has an array of its own
	$(BIN)/holdfast run experiments/syncstack/sidekick_2009.yaml --expect
	$(BIN)/holdfast run experiments/syncstack/san_loss.yaml --expect

browser:                ## Chromium for the tests of the page; quick when it is there
	@.ci/browser

test: setup browser check  ## everything that a change must pass
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder \
	    -m "not long" $(TESTED) tests/integration tests/contract tests/reproduced tests/unit

test-full: test         ## and what is too long for it: models at length, all experiments, calibrate, soak; hours
	HOLDFAST_HYPOTHESIS=full $(BIN)/pytest -q tests/unit
	$(BIN)/pytest -q -m long tests
	$(BIN)/pytest -q experiments --ignore experiments/search --ignore experiments/policies
	$(MAKE) calibrate soak

test-fast:              ## unit tests: no engine, seconds
	$(BIN)/pytest -q tests/unit

check:                  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup            ## figures against their bounds; also in reports/bench.json
	$(BIN)/python -m tests.bench

experiments: setup      ## every experiment with SEEDS seeds against its expected verdict
	$(BIN)/python experiments/run_all.py --seeds $(SEEDS) --jobs $(JOBS)

calibrate: setup        ## known-safe settings never alarm, known-unsafe ones always do: CUTS power cuts of each
	$(BIN)/python -m tests.calibration --cuts $(CUTS) --jobs $(JOBS) $(NAMES)

zoo: setup              ## search finds the bugs of fixtures/zoo, and nothing in their fixed twins; goes on where it was
	$(BIN)/python -m tests.zoo search --jobs $(JOBS) $(NAMES)

zoo-uniform: setup      ## search against uniform random schedules, on eight bugs with five seeds each; goes on where it was
	$(BIN)/python -m tests.zoo search --way guided uniform --seeds 5 --trials 100 --twin-trials 0 --shrink 0 \
	    --results reports/zoo/uniform --jobs $(JOBS) $(or $(NAMES),$(COMPARED))

zoo-sample:             ## a few bugs, found within ten minutes
	$(BIN)/python -m tests.zoo search --trials 20 --twin-trials 3 --shrink 10 --jobs $(JOBS) \
	    --results $$(mktemp -d) $(SAMPLE)

zoo-shown: setup        ## the bugs of fixtures/zoo and their twins under the schedules that show them: SEEDS trials of each
	$(BIN)/python -m tests.zoo show --seeds $(SEEDS) --jobs $(JOBS) $(NAMES)

soak: setup             ## kill -9 of the controller at N random instants; nothing may be left
	$(BIN)/python tests/soak.py $(N)

engines: setup          ## the same on engines that this host does not run (docs/engines.md); root, mmdebstrap, an hour
	$(BIN)/python -m tests.engines $(ENGINES)

clean:                  ## runs, images and cache of Holdfast, then .venv and the tools' caches
	-$(BIN)/holdfast clean --all
	rm -rf .engines .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis allure-results build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
