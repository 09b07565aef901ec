# make demo: the main job on a generated sample archive; make test: every test.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check bench soak venv clean
.DEFAULT_GOAL := demo

venv: $(READY)

# uv where installed, else python's own venv and pip
$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python '>=3.11' $(VENV) && \
	    uv pip install --quiet --python $(BIN)/python -e '.[dev]'; \
	else \
	    $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)' && \
	    $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	fi
	@touch $(READY)

demo: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo.sh

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not soak"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(READY)
	ALPHAQCM_SOAK=1 $(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(READY)
	@for bench in scripts/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
