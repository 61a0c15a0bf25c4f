# Two commands for a new user: `make quickstart` and `make test`. Everything they need is installed by them.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out/quickstart
WORKERS ?= 2
PIP     = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help install dev browser slurm gridengine quickstart test lint clean

help:
	@echo "make quickstart   the whole pipeline on the bundled Japanese sample; ends with a leaderboard page"
	@echo "make test         install the dev tools and run the whole test suite"
	@echo "make lint         ruff, mypy and the floors"
	@echo "make browser      install Chromium and Japanese fonts (Debian, root or sudo)"
	@echo "make slurm        install Slurm, MUNGE and shellcheck for the tests of jobs (Debian, root or sudo)"
	@echo "make gridengine   install Grid Engine for the tests of AGE jobs (Debian, root or sudo)"
	@echo "make clean        remove out/ and caches"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: what asks for any torch afterwards takes this one
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	@touch $@

install: $(VENV)/.installed

dev: $(VENV)/.dev

quickstart: $(VENV)/.installed
	$(VENV)/bin/jpfm quickstart --out $(OUT)

# Chromium for the browser tests. Skipped with a word where it cannot be installed; the tests then say so too.
browser:
	@command -v chromium >/dev/null && fc-list :lang=ja 2>/dev/null | grep -q . && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 -o -n "$$(command -v sudo)" ]; then \
	  S=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
	  ($$S apt-get update -qq && $$S env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium fonts-noto-cjk fontconfig >/dev/null) || echo "make browser: apt-get failed; browser tests will be skipped"; \
	else echo "make browser: needs Debian's apt-get as root or sudo; browser tests will be skipped"; fi

# Slurm for the tests of jobs: they start a cluster of their own. Skipped with a word where it cannot be installed.
slurm:
	@command -v slurmctld >/dev/null && command -v munged >/dev/null && command -v shellcheck >/dev/null && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 -o -n "$$(command -v sudo)" ]; then \
	  S=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
	  ($$S apt-get update -qq && $$S env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    slurm-wlm munge shellcheck >/dev/null) || echo "make slurm: apt-get failed; tests of jobs will be skipped"; \
	else echo "make slurm: needs Debian's apt-get as root or sudo; tests of jobs will be skipped"; fi

# Grid Engine for the tests of AGE jobs: they start a cell of their own. msmtp-mta, because mailx wants a mailer and the
# usual one is a daemon; RUNLEVEL=1, so that the packages start none either.
gridengine:
	@command -v sge_qmaster >/dev/null && command -v qsub >/dev/null && command -v ip >/dev/null && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 -o -n "$$(command -v sudo)" ]; then \
	  S=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
	  ($$S apt-get update -qq && $$S env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq \
	    --no-install-recommends msmtp-mta gridengine-master gridengine-exec gridengine-client iproute2 >/dev/null) \
	    || echo "make gridengine: apt-get failed; tests of AGE jobs will be skipped"; \
	else echo "make gridengine: needs Debian's apt-get as root or sudo; tests of AGE jobs will be skipped"; fi

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Fast checks first, then the fast tests, then the slow ones.
test: $(VENV)/.dev browser slurm gridengine lint
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal

clean:
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
