# make lab      set up, then JupyterLab on lesson 00
# make check    set up, then lint, types, imports and the light tests: what to run between two edits
# make test     set up, then every test but the slow ones, with the network off where the system can
# make test-all make test, then the slow ones
# make links    visit every link of the course; needs the network
SHELL := /bin/sh
venv := .venv
python := $(venv)/bin/python
ready := $(venv)/.ready

language := $(or $(LABKIT_LANG),$(LC_ALL),$(LANG))
lesson := $(if $(filter zh% ZH% Zh%,$(language)),zh,en)/00_start-here.ipynb
root := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab setup lint check test test-all test-fetched test-computed notebooks pocket bench links constraints clean

lab: $(ready)
	$(python) -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=notebooks \
		--LabApp.default_url=/lab/tree/$(lesson) $(root) $(LAB_ARGS)

setup: $(ready)

$(ready): pyproject.toml constraints.txt .ci/setup
	LABKIT_VENV=$(venv) .ci/setup
	touch $@

# Most of the time goes by with imports, which keep one core busy: two workers share the tests, and
# each takes half of the cores. The cells of a lesson stay together.
workers := --numprocesses=2
two := OMP_NUM_THREADS=$(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores > 2 ? cores / 2 : 1)))

lint: $(ready)
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	$(venv)/bin/lint-imports --no-cache

# Whole folders, single files of others, and of those less the two files that load torch.
light := $(addprefix tests/,architecture catalog core costs estimation machine picker \
	conversation/test_grammars.py course/test_exercises.py gguf/test_quant_types.py \
	house/test_habits.py house/test_house.py house/test_links.py house/test_tracks.py \
	house/test_workflows.py privacy/test_sensitive_data.py) \
	$(addprefix --ignore=tests/,catalog/test_token_counts.py estimation/test_training_time.py)

check: lint
	$(two) .ci/offline $(python) -m pytest --quiet $(workers) --dist=worksteal -m "not slow" $(light)

test: lint
	$(two) .ci/offline $(python) -m pytest $(workers) --dist=worksteal -m "not slow" tests
	LABKIT_STATIC=1 LABKIT_LANG=en $(two) .ci/offline $(python) -m pytest $(workers) --dist=loadfile --nbval notebooks/en
	LABKIT_STATIC=1 LABKIT_LANG=zh $(two) .ci/offline $(python) -m pytest $(workers) --dist=loadfile --nbval notebooks/zh

# Some of the slow ones make environments of their own, which needs the network. While those are
# fetched and unpacked, others compute; the rest looks at clocks, or serves, and is run alone.
fetched := $(addprefix tests/,course/test_class_progress.py house/test_platforms.py exports/test_exports.py \
	quantization/test_gptq.py house/test_setup.py)
computed := $(addprefix tests/,catalog/test_catalog.py gguf/test_quant_types.py finetuning/test_learning.py \
	architecture/test_tensors.py estimation/test_training_memory.py)
test-all: test
	$(MAKE) --jobs=2 --output-sync test-fetched test-computed
	$(python) -m pytest -m slow $(addprefix --ignore=,$(fetched) $(computed)) tests

# Tests call make themselves, and not as a part of this one.
test-fetched:
	$(two) env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(python) -m pytest -m slow $(fetched)

test-computed:
	$(two) $(python) -m pytest -m slow $(computed)

notebooks: $(ready)
	$(python) notebooks/build.py

pocket: $(ready)
	$(python) -m labkit.pocket.recipe

# Measures on this machine and writes the results into the READMEs.
bench: $(ready)
	$(python) .ci/bench.py

# Writes into .ci/links.json what each link answered, and when.
links: $(ready)
	$(python) .ci/links.py --online

# To move a version: install it in $(venv), run `make test-all`, then this.
constraints: $(ready)
	$(python) .ci/constraints.py > $(venv)/constraints.txt
	mv $(venv)/constraints.txt constraints.txt

clean:
	rm -rf $(venv) build dist artefacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
