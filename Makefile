# The commands of the README. Everything is installed into .venv from hash-pinned locks.
.PHONY: demo test check lint env env-test lock clean
ORBITLM = .venv/bin/orbitlm
PYTEST = .venv/bin/python -m pytest
export OMP_NUM_THREADS ?= 1

demo: env            ## ask the two-minute scenario's questions through flight, link and ground
	$(ORBITLM) hil demo

test: env-test       ## every test
	$(PYTEST)

check: env-test lint ## the quick part: lint, types, import contracts and the tests without real processes
	$(PYTEST) -m "not slow"

lint: env-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

env:
	@requirements/install.sh hil

env-test:
	@requirements/install.sh test

# Locks: versions and hashes for every platform, no index address. Needs uv (pip install uv).
LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q
lock:
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) pyproject.toml --extra test -o requirements/test.txt
	for set in hil flight ground; do $(LOCK) pyproject.toml --extra $$set -c requirements/test.txt -o requirements/$$set.txt; done

clean:
	rm -rf .venv out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
