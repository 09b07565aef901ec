# make demo: the main job on a generated sample archive; make test: every test.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo demo-candles demo-cluster demo-live demo-marketstore test test-fast check dist lock bench mutants soak venv clean
.DEFAULT_GOAL := demo

venv: $(READY)

# the versions of uv.lock where uv is installed, else python's own venv and pip with the same versions
$(READY): pyproject.toml uv.lock constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
	    UV_PROJECT_ENVIRONMENT=$(abspath $(VENV)) \
	        uv sync --quiet --frozen --inexact --extra dev --python '>=3.11'; \
	else \
	    $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)' && \
	    $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'; \
	fi
	@touch $(READY)

demo: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo.sh

# the second act: candles over REST from a simulated exchange
demo-candles: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo_candles.sh

# the third: one minute of the live client
demo-live: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo_live.sh

# the fourth: a data root over MarketStore's protocol, fed from a simulated exchange and a mirror of its archive
demo-marketstore: $(READY)
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo_marketstore.sh

# the third act: the same on a Dask cluster, into an S3 server; the bytes are those of `make demo`
demo-cluster: demo
	@PATH="$(abspath $(BIN)):$$PATH" bash scripts/demo_cluster.sh

test: $(READY)
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not soak"

# the tests that start no process and take no second; one a core, as they do not wait
test-fast: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not soak and not process and not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python scripts/check_types.py
	$(BIN)/lint-imports

# wheel and sdist; tests/e2e/test_release.py tries them
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

# after a change of the dependencies: the versions of everything, for uv and for pip
lock:
	uv lock --no-config --default-index https://pypi.org/simple
	uv export --no-config --frozen --quiet --all-extras --no-emit-project --no-hashes \
	    --no-annotate --no-header --output-file constraints.txt

soak: $(READY)
	ALPHAQCM_SOAK=1 $(BIN)/python -m pytest -n 4 --dist worksteal

# changes one place at a time and sees whether a test notices; hours on two cores with --count 2000
mutants: $(READY)
	$(BIN)/python scripts/mutants.py

bench: $(READY)
	@for bench in scripts/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
