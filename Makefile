# The two commands of this project: `make demo` and `make test`. Both install what they need into .venv.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.PHONY: demo test lint sample-data clean

demo: $(VENV)/.base  ## a whole study from scans to cells, on the simulated mice in sample_data/
	$(BIN)/mpi-track run sample_data/car-t/study.yaml --out demo-results --overwrite

test: $(VENV)/.all  ## everything: style, types, the house's layers, all tests, the window's too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(shell sh .ci/window.sh command) $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.all
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

$(VENV)/.made:
	sh .ci/venv.sh "$(PYTHON)" $(VENV)
	touch $@

$(VENV)/.base: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.all: $(VENV)/.made pyproject.toml
	sh .ci/window.sh install
	$(BIN)/python -m pip install --quiet --editable ".[all,test,lint]"
	touch $@ $(VENV)/.base

sample-data: $(VENV)/.base
	$(BIN)/python sample_data/make_sample_data.py

clean:
	rm -rf $(VENV) demo-results build dist
