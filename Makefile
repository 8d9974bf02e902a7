# Everything sets itself up in .venv: Python, make and a C compiler are all that it takes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard lrcore/_core/*.py[xdi] lrcore/_core/*.pxi lrcore/_core/*.pxd lrcore/_core/*.h)
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo examples docs test lint bench bench-compare report soak stream fuzz sanitize sanitized clean

help:
	@echo "make demo      fit flight delays, beside scikit-learn and NumPy"
	@echo "make examples  what learning rates do, in seven pictures, written to examples/pictures"
	@echo "make docs      the site, in docs/build/index.html, every example of it executed"
	@echo "make test      run the tests"
	@echo "make lint      ruff, mypy, cython-lint"
	@echo "make bench     the asv suite on this checkout, a part of it (BENCH=. for all, or a pattern)"
	@echo "make bench-compare REF=main~5   what got slower since that commit (BENCH=pattern)"
	@echo "make report    figures measured side by side, as one page with pictures in bench/results"
	@echo "               (DATA=folder of 20news.tsv.gz, ONLY=sections, OUT=folder, QUICK=1)"
	@echo "make soak      what takes too long for make test, make stream among it"
	@echo "make stream    a thousand million values through partial_fit, and the memory it takes"
	@echo "make fuzz      a hundred thousand bad calls at random"
	@echo "make sanitize  kernel tests under address, undefined-behaviour and thread sanitizers"
	@echo "make clean     remove what the others made"

# The package is built once, in place, and again when a source changes; an extra only adds packages.
$(VENV)/built: $(SOURCES)
	@test -x $(BIN)/python || { $(PYTHON) -m venv $(VENV) && $(PIP) install --upgrade pip; }
	@echo "building lrcore and installing it into $(VENV) (about a minute) ..."
	@$(PIP) install --editable .
	@touch $@

LIST_EXTRA = from importlib.metadata import requires; import sys; \
  print(*[r.split(";")[0] for r in requires("lrcore") if sys.argv[1] in r.split(";")[-1]], sep="\n")

$(VENV)/installed-%: $(VENV)/built
	@$(BIN)/python -c '$(LIST_EXTRA)' '"$*"' > $(VENV)/extra-$*.txt
	@$(PIP) install --requirement $(VENV)/extra-$*.txt
	@touch $@

demo: $(VENV)/installed-demo
	@$(BIN)/lrcore demo

examples: $(VENV)/installed-plot
	$(BIN)/python examples/learning_rates.py --out examples/pictures

# Warnings are errors. Examples: those of pages and docstrings as doctests, scripts by the gallery.
docs: $(VENV)/installed-docs
	$(BIN)/python -m pytest -rs --doctest-glob="*.rst" docs lrcore README.md
	$(BIN)/python -m sphinx -W --keep-going --quiet docs docs/build
	@echo "the site is docs/build/index.html"

# Idle threads sleep, so that tests side by side do not wait for each other's: half of the time.
test: $(VENV)/installed-test
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint lrcore/_core

# A pattern of names with parameters: every rule and loss once, on one thread and little data.
QUICK_BENCH := 10000, 'float32', 1, '[ln]|'Adam', 10000, ('float32', )?1\b|fit\.[ODP]
QUICK_BENCH := $(QUICK_BENCH)|Epoch.*'sparse', ('log_loss', .*|.*, 'AdaGrad'), 1\)
QUICK_BENCH := $(QUICK_BENCH)|schedule.*Cosine|descent.*rosenbrock|Large|ingestion|startup
BENCH ?= $(QUICK_BENCH)
ASV = cd bench && ../$(BIN)/asv

bench: $(VENV)/installed-bench
	$(ASV) machine --machine local --yes
	$(ASV) check --python=same
	$(ASV) run --python=same --quick --show-stderr --machine local --bench "$(BENCH)"

# Both commits are built, each into a virtualenv of asv's; what differs by less than a tenth is noise.
bench-compare: $(VENV)/installed-bench
	@test -n "$(REF)" || { echo "REF=commit says with what to compare, as in REF=main~5"; exit 2; }
	$(ASV) machine --machine local --yes
	@$(ASV) continuous --machine local --factor 1.1 --split --show-stderr --bench "$(BENCH)" \
	  $(REF) HEAD && echo "Nothing is slower than in $(REF) by a tenth or more." \
	  || { echo "Slower than in $(REF), or not measured: see above."; exit 1; }

report: $(VENV)/installed-bench
	$(BIN)/python bench/report.py $(if $(DATA),--data $(DATA)) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(OUT),--out $(OUT)) $(if $(QUICK),--quick)

soak: $(VENV)/installed-test stream
	$(BIN)/python tests/soak.py

stream: $(VENV)/built
	$(BIN)/python bench/stream.py

fuzz: $(VENV)/installed-test
	$(BIN)/python tests/fuzz.py

# Builds of their own, of a copy of the sources; leaks of the interpreter are none of ours.
sanitize: $(VENV)/installed-test $(VENV)/installed-dev
	$(MAKE) sanitized KIND=address,undefined LIBRARIES="asan ubsan" TESTS="$(KERNEL_TESTS)"
	$(MAKE) sanitized KIND=thread LIBRARIES=tsan TESTS="$(THREAD_TESTS)"

KERNEL_TESTS := tests/test_rules.py tests/test_epochs.py tests/test_losses.py tests/test_optimizer.py \
  tests/test_low_precision.py tests/test_row_gradients.py tests/test_softmax.py tests/test_average.py \
  tests/test_dual.py tests/test_inputs.py
THREAD_TESTS := tests/test_epochs.py tests/test_low_precision.py tests/test_row_gradients.py \
  tests/test_stepping.py tests/test_softmax.py tests/test_average.py -k 'not killed and not memory'

SANITIZED := build/sanitized
sanitized:
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r lrcore tests setup.py $(SANITIZED)/
	rm -f $(SANITIZED)/lrcore/_core/*.so $(SANITIZED)/lrcore/_core/*.c
	cd $(SANITIZED) && LRCORE_SANITIZE=$(KIND) ../../$(BIN)/python setup.py --quiet build_ext --inplace
	test -n "$$(nm -D $(SANITIZED)/lrcore/_core/baseline*.so | grep __$(firstword $(LIBRARIES)))"
	cd $(SANITIZED) && LD_PRELOAD="$(foreach name,$(LIBRARIES),$$(gcc -print-file-name=lib$(name).so))" \
	  ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=exitcode=66 PYTHONPATH=. PYTHONSAFEPATH=1 \
	  ../../$(BIN)/python -m pytest -p no:cacheprovider -c /dev/null --rootdir=. -q $(TESTS)

clean:
	rm -rf $(VENV) build docs/build docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/.asv
	rm -f lrcore/_core/*.so lrcore/_core/*.c
