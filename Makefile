# Everything that a fresh machine needs: `make demo` shows the tool at work, `make test` proves it.
# Only Python 3.11+, make and a package registry are expected; uv is fetched when it is missing.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
export UV_PYTHON_DOWNLOADS = never

DEMO_RUN := runs/demo
SAMPLE := meadow

.PHONY: setup demo test check samples clean

setup: .venv/.ready

.venv/.ready: pyproject.toml | $(UV)
	$(UV) sync --quiet --python $(PYTHON)
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet uv

demo: setup
	$(RUN) track samples/$(SAMPLE)/$(SAMPLE).mp4 --auto-prompt --memory samples/memory --output $(DEMO_RUN) --overwrite
	$(RUN) track eval $(DEMO_RUN) samples/$(SAMPLE)/truth
	@echo "run folder:      $(DEMO_RUN)"
	@echo "annotated video: $(DEMO_RUN)/annotated.mp4"

# Two processes of one thread each: the small models of the suite gain nothing from a second thread.
test: setup
	OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist worksteal

check: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy tracker
	$(RUN) pytest --quiet tests/test_imports.py

samples: setup
	$(RUN) python -m samples.make_samples

clean:
	rm -rf .venv .uv runs .pytest_cache .mypy_cache .ruff_cache
