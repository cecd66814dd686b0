# make run    from a fresh checkout to the first table: replays sqlite-mmap through the simulated engine
# make test   all tests but the long ones
# make test-long  more planted bugs
# make regress  random programs against the RTL, every step checked; ARGUMENTS='--seeds 100 --html regress.html' and the like
# make lint   ruff and mypy
# make prove  all formal proofs and their planted bugs
# make clean  remove the environment and everything made

PYTHON ?= python3
TRACE ?= sqlite-mmap
ARGUMENTS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test test-long regress lint prove clean
.DELETE_ON_ERROR:

run: $(STAMP)
	$(BIN)/seqfault run $(TRACE)

test: $(STAMP_DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-long: $(STAMP_DEV)
	$(BIN)/python -m pytest -n 2 -m long

lint: $(STAMP_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

regress: $(STAMP_DEV)
	$(BIN)/seqfault regress $(ARGUMENTS)

prove: $(STAMP_DEV)
	$(BIN)/seqfault prove

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find rtl golden tb sim tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "seqfault needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 2; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make environments: apt install python3-venv" >&2; exit 2; }

$(STAMP): pyproject.toml | $(BIN)/python
	@echo "installing seqfault and what it runs on (once)"
	@$(PIP) install -e .
	@touch $@

$(STAMP_DEV): pyproject.toml | $(BIN)/python
	@echo "installing what the tests need (once)"
	@$(PIP) install -e '.[dev]'
	@touch $@ $(STAMP)
