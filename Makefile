# Everything sets itself up in .venv: Python, make and a C compiler are all that it takes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
START := $(shell date +%s)
# Python compiles a module when it first imports it; most modules of most packages never are.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
BUILD_REQUIREMENTS := $(shell sed -n 's/^requires = \[\(.*\)\]/\1/p' pyproject.toml | tr , ' ')
# Parts of the core are generated from the classes of rules, losses and penalties.
CORE_SOURCES := setup.py $(wildcard lrcore/rules/*.py) lrcore/losses.py lrcore/penalties.py \
  $(shell find lrcore/_core -name generated -prune -o -name '*.p[xy]*' ! -name '*.pyc' ! -name '*.pyi' \
  -print -o -name '*.h' -print)

.PHONY: help demo examples docs test lint sdist sdist-check wheel wheel-check release-check bench \
  bench-compare report soak stream fuzz sanitize sanitized bits-aarch64 clean

help:
	@echo "make demo      fit flight delays, beside scikit-learn and NumPy"
	@echo "make examples  what learning rates do, in seven pictures, written to examples/pictures"
	@echo "make docs      the site, in docs/build/index.html, every example of it executed"
	@echo "make test      run the tests"
	@echo "make lint      ruff, mypy, cython-lint"
	@echo "make sdist     the source archive of a release, written to dist"
	@echo "make sdist-check   build such an archive, install it in an empty environment, use it"
	@echo "make wheel     such an archive and, from it, a wheel for each Python at hand, in dist"
	@echo "               (PYTHONS=\"python3.11 python3.12\")"
	@echo "make wheel-check   install these wheels in empty environments, use them"
	@echo "make release-check   all that a release has to pass, but for lint and tests"
	@echo "make bench     the asv suite on this checkout, a part of it (BENCH=. for all, or a pattern)"
	@echo "make bench-compare REF=main~5   what got slower since that commit (BENCH=pattern)"
	@echo "make report    figures measured side by side, as one page with pictures in bench/results"
	@echo "               (DATA=folder of 20news.tsv.gz, ONLY=sections, OUT=folder, QUICK=1,"
	@echo "               BEFORE=a former checkout, built, that kernels are compared with)"
	@echo "make soak      what takes too long for make test, make stream among it"
	@echo "make stream    a thousand million values through partial_fit, and the memory it takes"
	@echo "make fuzz      a hundred thousand bad calls, and files of each kind, at random (CASES=1000),"
	@echo "               long lines and bombs"
	@echo "make sanitize  kernel tests and hostile files under address, undefined-behaviour and thread"
	@echo "               sanitizers (CASES=10000 files of each kind)"
	@echo "make bits-aarch64   build for aarch64 and compare the recorded digests, in an emulator, on"
	@echo "               Debian with gcc-aarch64-linux-gnu, qemu-user-static, mmdebstrap (TESTS=tests/optim)"
	@echo "make clean     remove what the others made, and the environment in $(VENV)"
	@echo "PYTHON=python3.12 in front of these makes the environment with that Python."

# $(call timed,message,log,command) prints the message and the seconds that the command took. What
# the command prints, pip's warnings among it, is shown only where it fails.
define timed
@printf '%s ... ' "$(strip $(1))"; start=$$(date +%s); \
  if { $(3); } > $(2) 2>&1; then echo "$$(($$(date +%s) - start)) s"; \
  else echo failed; cat $(2); exit 1; fi
endef

# The environment holds what it takes to build the core, so that pip need not download the same
# again for an isolated build.
$(VENV)/made: pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON), and lrcore needs Python 3.10" \
	  "or newer. PYTHON names another one, as in: make PYTHON=python3.12 test"; exit 1; }
	@$(PYTHON) tools/check_build_tools.py
	@mkdir -p $(VENV)
	$(call timed,Creating an environment with $$($(PYTHON) --version) in $(VENV),$(VENV)/venv.log,\
	  $(PYTHON) -m venv $(VENV))
	$(call timed,Installing what builds the core: pip setuptools Cython NumPy,$(VENV)/build.log,\
	  $(PIP) --upgrade pip $(BUILD_REQUIREMENTS))
	@touch $@

# lrcore itself is installed as a link to this folder, without the core, which is built in place.
$(VENV)/installed-%: pyproject.toml | $(VENV)/made
	$(call timed,Installing what lrcore and its extra [$*] need,$(VENV)/$*.log,\
	  LRCORE_NO_CORE=1 $(PIP) --no-build-isolation --editable ".[$*]")
	@touch $@

$(VENV)/built: $(CORE_SOURCES) | $(VENV)/made
	@echo "Building the core, which takes half a minute to a minute on two processors ..."
	@start=$$(date +%s); $(BIN)/python setup.py --quiet build_ext --inplace && \
	  echo "The core is built: $$(($$(date +%s) - start)) s"
	@touch $@

demo: $(VENV)/installed-demo $(VENV)/built
	@echo "Reading 336,776 flights, and fitting a model of which are late (lrcore demo) ..."
	@$(BIN)/lrcore demo
	@echo "make demo took $$(($$(date +%s) - $(START))) s in all."

examples: $(VENV)/installed-plot $(VENV)/built
	$(BIN)/python examples/learning_rates.py --out examples/pictures

# Warnings are errors. Examples: those of pages and docstrings as doctests, scripts by the gallery.
docs: $(VENV)/installed-docs $(VENV)/built
	$(BIN)/python -m pytest -rs --doctest-glob="*.rst" docs lrcore README.md
	$(BIN)/python -m sphinx -W --keep-going --quiet docs docs/build
	@echo "the site is docs/build/index.html"

# Threads that wait for work sleep, so that tests side by side do not take each other's processor:
# half of the time.
test: $(VENV)/installed-test $(VENV)/built
	@echo "Running the tests, one process for each processor ..."
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto
	@echo "make test took $$(($$(date +%s) - $(START))) s in all."

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint lrcore/_core

# lrcore.egg-info keeps the names of an earlier archive, whose files would come along unasked.
SDIST := dist
sdist: $(VENV)/made
	@rm -rf lrcore.egg-info
	$(call timed,Writing the source archive to $(SDIST),$(VENV)/sdist.log,\
	  LRCORE_NO_CORE=1 $(BIN)/python setup.py sdist --dist-dir $(SDIST))

# As a user does it: an isolated build from the unpacked archive, whose files alone are there. pip
# keeps no wheel of a folder, and a compiler's cache is turned off.
UNPACKED := build/sdist-check
sdist-check:
	@rm -rf $(UNPACKED) && mkdir -p $(UNPACKED)/lrcore
	@$(MAKE) --no-print-directory sdist SDIST=$(UNPACKED)
	@tar -xzf $(UNPACKED)/lrcore-*.tar.gz -C $(UNPACKED)/lrcore --strip-components=1
	$(call timed,Creating an empty environment,$(UNPACKED)/venv.log,\
	  $(PYTHON) -m venv $(UNPACKED)/venv)
	$(call timed,Building the unpacked archive and installing it there,$(UNPACKED)/pip.log,\
	  CCACHE_DISABLE=1 $(UNPACKED)/venv/bin/python -m pip install --no-compile $(UNPACKED)/lrcore)
	@$(UNPACKED)/venv/bin/python -I tools/check_installed.py

# One for each version of Python that is on PATH, from the archive that is released with them.
PYTHONS := python3.10 python3.11 python3.12 python3.13 python3.14
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' lrcore/_utils/version.py)
wheel: sdist $(VENV)/installed-release
	$(BIN)/python tools/wheels.py build $(SDIST)/lrcore-$(VERSION).tar.gz $(SDIST) build/wheel $(PYTHONS)

wheel-check:
	$(PYTHON) tools/wheels.py check $(SDIST) build/wheel-check $(PYTHONS)

# The cheap checks come first. Files of other versions in dist are left alone.
release-check: $(VENV)/installed-release
	@$(PYTHON) tools/check_release.py
	@$(MAKE) --no-print-directory sdist-check
	@$(MAKE) --no-print-directory wheel
	$(BIN)/python -m twine check --strict $(SDIST)/lrcore-$(VERSION).tar.gz $(SDIST)/lrcore-$(VERSION)-*.whl
	@$(MAKE) --no-print-directory wheel-check
	@echo "lrcore $(VERSION) can be released: make release-check took $$(($$(date +%s) - $(START))) s."

# A pattern of names with parameters: every rule and loss once, on one thread and little data.
QUICK_BENCH := 10000, 'float32', 1, '[ln]|'Adam', 10000, ('float32', )?1\b|fit\.[ODP]
QUICK_BENCH := $(QUICK_BENCH)|Epoch.*'sparse', ('log_loss', .*|.*, 'AdaGrad'), 1\)
QUICK_BENCH := $(QUICK_BENCH)|schedule.*Cosine|descent.*rosenbrock|Large|ingestion|startup
BENCH ?= $(QUICK_BENCH)
ASV = cd bench && ../$(BIN)/asv

bench: $(VENV)/installed-bench $(VENV)/built
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

report: $(VENV)/installed-bench $(VENV)/built
	$(BIN)/python bench/report.py $(if $(DATA),--data $(DATA)) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(OUT),--out $(OUT)) $(if $(BEFORE),--before $(BEFORE)) $(if $(QUICK),--quick)

soak: $(VENV)/installed-test $(VENV)/built stream
	$(BIN)/python tests/soak.py
	$(BIN)/python tests/killed_fits.py
	$(BIN)/python tests/clusters.py

stream: $(VENV)/installed-test $(VENV)/built
	$(BIN)/python bench/stream.py

# Calls, contents of files, states, matrices and pickles, files with faults in any bytes, and such as
# are made to fill the memory: tests/fuzz_files.py and tests/fuzz_sizes.py tell the kinds.
fuzz: $(VENV)/installed-test $(VENV)/built
	$(BIN)/python tests/fuzz.py
	$(BIN)/python tests/fuzz_files.py $(CASES)
	$(BIN)/python tests/fuzz_sizes.py

# Builds of their own, of a copy of the sources; leaks of the interpreter are none of ours.
sanitize: $(VENV)/installed-test $(VENV)/installed-dev
	$(MAKE) sanitized KIND=address,undefined LIBRARIES="asan ubsan" TESTS="$(KERNEL_TESTS)"
	cd $(SANITIZED) && $(PRELOAD_SANITIZERS) ../../$(BIN)/python tests/fuzz_files.py $(or $(CASES),10000)
	$(MAKE) sanitized KIND=thread LIBRARIES=tsan TESTS="$(THREAD_TESTS)"

KERNEL_TESTS := tests/_core/test_bounds.py tests/_core/test_parsing.py tests/io tests/rules tests/optim tests/test_losses.py tests/linear_model/engine \
  tests/linear_model/solvers tests/linear_model/test_softmax.py tests/linear_model/test_average.py
THREAD_TESTS := tests/optim tests/linear_model/engine/test_epoch.py \
  tests/linear_model/test_softmax.py tests/linear_model/test_average.py -k 'not killed and not memory'

SANITIZED := build/sanitized
PRELOAD_SANITIZERS := LD_PRELOAD="$$(gcc -print-file-name=libasan.so) \
  $$(gcc -print-file-name=libubsan.so)" PYTHONPATH=. PYTHONSAFEPATH=1 \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
sanitized:
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r lrcore tests setup.py $(SANITIZED)/
	find $(SANITIZED)/lrcore/_core \( -name '*.so' -o -name '*.c' \) -delete
	cd $(SANITIZED) && LRCORE_SANITIZE=$(KIND) ../../$(BIN)/python setup.py --quiet build_ext --inplace
	test -n "$$(nm -D $(SANITIZED)/lrcore/_core/baseline*.so | grep __$(firstword $(LIBRARIES)))"
	cd $(SANITIZED) && LD_PRELOAD="$(foreach name,$(LIBRARIES),$$(gcc -print-file-name=lib$(name).so))" \
	  ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=exitcode=66 PYTHONPATH=.:tests/support PYTHONSAFEPATH=1 \
	  ../../$(BIN)/python -m pytest -p no:cacheprovider -c /dev/null --rootdir=. -q $(TESTS)

# The emulated Python is that of this Debian, so PYTHON has to be the same: headers serve both.
AARCH64 := build/aarch64
aarch64_wheels = $(PIP) --only-binary=:all: --target $(1) --python-version \
  $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
  $(foreach glibc,2014 _2_27 _2_28,--platform manylinux$(glibc)_aarch64)
bits-aarch64: $(VENV)/made
	rm -rf $(AARCH64) && mkdir -p $(AARCH64)
	cp -r lrcore tests setup.py $(AARCH64)/
	find $(AARCH64)/lrcore/_core -name '*.so' -delete
	mmdebstrap --variant=extract --architectures=arm64 --include=python3,libstdc++6,libgomp1 \
	  $$(. /etc/os-release && echo $$VERSION_CODENAME) $(AARCH64)/root
	$(call aarch64_wheels,$(AARCH64)/wheels) numpy scipy scikit-learn threadpoolctl tqdm pytest hypothesis pandas
	cd $(AARCH64) && CC=aarch64-linux-gnu-gcc LDSHARED="aarch64-linux-gnu-gcc -shared" \
	  _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=.so \
	  ../../$(BIN)/python setup.py --quiet build_ext --inplace
	cp pyproject.toml $(AARCH64)/
	cd $(AARCH64) && OMP_WAIT_POLICY=passive PYTHONPATH=.:wheels PYTHONSAFEPATH=1 \
	  qemu-aarch64-static -L root root/usr/bin/python3 -m pytest -p no:cacheprovider \
	  $(or $(TESTS),tests/test_bits.py)

clean:
	rm -rf $(VENV) build dist docs/build docs/generated *.egg-info bench/.asv
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis lrcore/_core/generated
	find lrcore/_core \( -name '*.so' -o -name '*.c' \) -delete
