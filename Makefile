# quickstart: install and train the offline example.  test: everything that must hold.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quickstart install test test-fast mutants torture lint coverage methods strategies studies scenarios bench growth start scaling nano clean

quickstart: .venv/.installed
	$(BIN)/accelerate launch hfft/run.py --recipe digits

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/.tested: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

test: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Before each commit: every equality once, the grammar, the structure and the pure functions, in under a minute on two
# idle cores. What is marked `slow` or `slow_but` is left to `make test`.
test-fast: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

# Plant one bug in each file of hfft/ and see whether the tests that mirror it notice: the tests' worth, in hours. Of a
# few files: make mutants OPTIONS="--files hfft/recipe --count 3 --seed 1 --jobs 2 --fast".
mutants: .venv/.tested
	$(BIN)/python -m tests.mutants $(OPTIONS)

# The long matrices: kills, signals, faults, and every case of the tests of which `make test` draws a sample. One line
# per gate with its count; an hour on two cores.
torture: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture

lint: .venv/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Walk every architecture of transformers' two classification mappings and write tests/architectures/table.md.
coverage: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.architectures.walk

# Measure the ways to choose layers on real models and write hfft/layers/figures.md: about 25 minutes on two idle cores.
# Offline: make methods MODELS=folder DATA=folder, which hold models and data sets by their hub names. AT_ONCE=2 runs two at a time.
methods: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.methods \
		$(if $(MODELS),--models $(MODELS)) $(if $(DATA),--data $(DATA)) $(if $(AT_ONCE),--at-once $(AT_ONCE))

# Measure every method of `strategy` where it claims to help and write hfft/strategy/figures.md: about five hours on two
# idle cores; stopped, it goes on where it stood. Offline as `make methods`; one claim: make strategies OPTIONS="--only imbalance".
strategies: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.strategies --at-once $(or $(AT_ONCE),2) \
		$(if $(MODELS),--models $(MODELS)) $(if $(DATA),--data $(DATA)) $(OPTIONS)

# Run every study of recipes/studies and write its page to studies/: up to three hours on two idle cores; stopped, it goes on
# where it stood. Offline as `make methods`; one of them: make studies OPTIONS="--only digits_seeds".
studies: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.studies --at-once $(or $(AT_ONCE),2) \
		$(if $(MODELS),--models $(MODELS)) $(if $(DATA),--data $(DATA)) $(OPTIONS)

# The studies of hfft/scenarios/README.md: other domains, few labels, classes that come later, clients. As `make studies`.
SCENARIOS := printed_to_handwritten printed_digits_leave_one_out digits_semi_supervised trec_semi_supervised \
	digits_incremental printed_digits_domain_incremental trec_incremental digits_federated
scenarios:
	$(MAKE) studies OPTIONS="--only $(SCENARIOS) $(OPTIONS)"

# Time our recipes against the example scripts and a tuned Trainer and write tests/benchmarks/table.md: about 40
# minutes on two idle cores. Offline as `make methods`.
bench: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.run \
		$(if $(MODELS),--models $(MODELS)) $(if $(DATA),--data $(DATA))

# Time and memory against rows, classes, tokens and blocks: tests/benchmarks/growth.md and its plot.
growth: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.growth

# From the command to the first training step, in parts, beside what the imports and the weights alone cost: two minutes.
start: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.start \
		$(if $(MODELS),--models $(MODELS)) $(if $(DATA),--data $(DATA))

# One process against two on this machine, and 8 and 64 GPUs on paper: tests/benchmarks/scaling.md; four minutes on two idle cores.
scaling: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.benchmarks.scaling

# Make the nano backbones that the package ships again, from nothing.
nano: .venv/.installed
	$(BIN)/python -m hfft.nano

clean:
	rm -rf .venv runs dist build
