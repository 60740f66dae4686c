# Every target sets up its own virtual environment in .venv; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Where the shell forbids bytecode, every command that a test starts would compile all packages again: 5 s of CPU each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test test-slow test-oldest fuzz faults kills bench bench-memory bench-growth bench-fly check lint format schema clean

demo: $(STAMP)
	$(BIN)/connfit demo

# Whole files go to a worker, so that what a file fits or compiles for its tests is made once; a worker takes 2 GB.
# The checks run beside it, and say at the end what they found; either failing fails the target.
test: $(STAMP)
	log=$$(mktemp); $(MAKE) --no-print-directory check >$$log 2>&1 & checks=$$!; \
	trap 'kill $$checks; rm -f $$log; exit 130' INT TERM; \
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile; tests=$$?; \
	wait $$checks; checked=$$?; cat $$log; rm $$log; test $$tests -eq 0 && test $$checked -eq 0

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# The same tests with the oldest versions that pyproject.toml allows, in build/oldest; these warn of newer neighbours,
# and of what is deprecated, which Python shows no user.
test-oldest: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/oldest
	$(BIN)/uv pip install --quiet --python build/oldest --no-build --resolution lowest-direct -r pyproject.toml --extra test
	$(BIN)/uv pip install --quiet --python build/oldest --no-deps .
	build/oldest/bin/python -m pytest -W default -W ignore::DeprecationWarning -m "not slow" -n auto --maxprocesses 4 --dist loadfile

# Damaged files of every kind that is read, and answers of servers: 20,000 in about ten minutes on one core.
fuzz: $(STAMP)
	cd tests && ../$(BIN)/python fuzz.py --inputs 20000

# Full and read-only disks, limits, closed outputs and signals, for every command; as root, on Linux; about an hour.
faults: $(STAMP)
	cd tests && ../$(BIN)/python faults.py

# 100 kills of commands that are then gone on with, and 20 pairs of commands on one folder: about 40 minutes on two cores.
kills: $(STAMP)
	$(BIN)/python benchmarks/kills.py

bench: $(STAMP)
	$(BIN)/python benchmarks/operators.py
	$(BIN)/python benchmarks/side_by_side.py
	$(BIN)/python benchmarks/spiking.py
	$(BIN)/python benchmarks/spiking_forward.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python benchmarks/peer.py
	$(BIN)/python benchmarks/spiking_peer.py

# Peak memory of whole commands beside what they say before (add --long for 200,000 frames).
bench-memory: $(STAMP)
	$(BIN)/python benchmarks/command_memory.py

# From 0.75 to 100 million connections, and docs/growth.png: 6 GB and about ten minutes of a machine that does nothing else.
bench-growth: $(STAMP)
	$(BIN)/python benchmarks/growth.py --figure docs

# The fly surrogate, for which the fly's real connections must be here (connfit data info fly-783-halves).
bench-fly: $(STAMP)
	$(BIN)/connfit data make fly-surrogate
	$(BIN)/python benchmarks/fly.py
	$(BIN)/python benchmarks/nulls.py
	$(BIN)/python benchmarks/bptt_memory.py

# What a test run checks too: errors that no test would see.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/python tests/public_types.py
	$(BIN)/lint-imports

lint: check
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror cpp/*.h cpp/*.cc

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i cpp/*.h cpp/*.cc

# The documentation site, built into build/site and checked; nothing is fetched. Every block of Python is run beside it.
docs: export NO_MKDOCS_2_WARNING = 1
# Most of the time of small fits is XLA compiling: without its expensive passes, and once for all of them.
docs: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
docs: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/build/programs
docs: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
docs: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES = 0
docs: $(STAMP)
	$(BIN)/python -c "import mkdocs_jupyter, mkdocstrings_handlers.python" 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --no-compile -e ".[docs]"
	log=$$(mktemp); $(BIN)/python docs/site/run_blocks.py >$$log 2>&1 & blocks=$$!; \
	trap 'kill $$blocks; rm -f $$log; exit 130' INT TERM; \
	$(BIN)/mkdocs build --strict --quiet; built=$$?; \
	wait $$blocks; ran=$$?; cat $$log; rm $$log; test $$built -eq 0 && test $$ran -eq 0
	$(BIN)/python docs/site/check_site.py build/site

# JSON Schemas of the results in a run directory.
schema: $(STAMP)
	$(BIN)/python -c "from connfit.report.result_types import write_schemas; write_schemas('docs/schema')"

# Editable: edits of Python sources count at once, edits of cpp/ rebuild here.
$(STAMP): pyproject.toml CMakeLists.txt $(wildcard cpp/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -e ".[test,dev]"
	touch $@

clean:
	rm -rf .venv build dist
