# quickstart: install and train the offline example.  test: everything that must hold.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart install test lint coverage nano clean

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
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Walk every architecture of transformers' two classification mappings and write tests/architectures/table.md.
coverage: .venv/.tested
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.architectures.walk

# Make the nano backbones that the package ships again, from nothing.
nano: .venv/.installed
	$(BIN)/python -m hfft.nano

clean:
	rm -rf .venv runs dist build
