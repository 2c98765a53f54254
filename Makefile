# Two commands do everything: `make run` starts a daemon to play with, `make test` tests it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The frontend's own commands; where npm is missing, that is said, and fails in CI.
NPM := ./tests/in-frontend

.PHONY: run test lint check clean

run: $(VENV)/.installed page
	$(BIN)/twistd --nodaemon --pidfile= chordme --demo

# The demo's page, built into the package: again when something of it has changed, and only where
# there is npm. Without it the daemon says that it has none.
PAGE      := chordme_daemon/page/index.html
PAGE_FROM := frontend/vite.config.ts frontend/scripts/finishDemo.js \
	$(shell find frontend/demo frontend/src -type f)

.PHONY: page
page:
	@if ! command -v npm >/dev/null; then \
		echo "!! The demo's page was not built: npm is missing (apt-get install npm)." >&2; \
	elif ! $(MAKE) --no-print-directory $(PAGE); then \
		echo "!! The demo's page was not built; it needs Node.js 20.19 or later." >&2; \
	fi

$(PAGE): frontend/node_modules/.installed $(PAGE_FROM)
	npm --prefix frontend run --silent demo

# The pictures of the page in the README.
.PHONY: screenshots
screenshots: $(VENV)/.installed debian-packages page
	node frontend/scripts/screenshots.js

test: lint check

lint: $(VENV)/.installed-dev npm-packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) run lint

check: $(VENV)/.installed-dev debian-packages npm-packages page
	$(BIN)/python -m pytest --cov --cov-report=
	$(BIN)/coverage report --fail-under=100 --show-missing --include="$(PURE)"
	$(MAKE) --no-print-directory check-compiled
	PYTHON_BIN=$(abspath $(BIN)) $(NPM) test

# The faults of the cluster, with three seeds, and of the journal, at length: a quarter of an hour.
.PHONY: soak
soak: $(VENV)/.installed-dev debian-packages npm-packages
	CHORDME_SOAK=3 $(BIN)/python -m pytest -q -s tests/journeys/test_cluster_faults.py \
		tests/cluster/test_journal_files.py

# The same package with its hot modules compiled, and its tests, in a tree of their own: beside the
# sources, what is compiled would hide them.
COMPILED := build/compiled
.PHONY: compiled
compiled: $(COMPILED)/.built

IN_IT := chordme_daemon docs etc integrations tests twisted Makefile README.rst pyproject.toml setup.py
$(COMPILED)/.built: $(VENV)/.installed-dev $(shell find $(IN_IT) -type f \
		-not -path '*/node_modules/*' -not -path '*/__pycache__/*') | debian-packages
	rm -rf $(COMPILED)
	mkdir -p $(COMPILED)
	tar -cf - --exclude=node_modules --exclude=__pycache__ $(IN_IT) | tar -xf - -C $(COMPILED)
	ln -s $(abspath tests/journeys/node_modules) $(COMPILED)/tests/journeys/node_modules
	cd $(COMPILED) && PYTHONWARNINGS=ignore COMPILE_CHORDME=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	touch $@

# All that tests the modules, and journeys of those clients that do most of what there is.
.PHONY: check-compiled
check-compiled: $(COMPILED)/.built npm-packages
	cd $(COMPILED) && COMPILE_CHORDME=1 $(abspath $(BIN))/python -m pytest \
		tests/engineio tests/socketio tests/app tests/cluster tests/test_admission.py \
		tests/test_compiled.py $(addprefix tests/journeys/test_,conformance_app.py editing.py \
		hostile.py limits.py other_clients.py resume.py rooms.py slow_clients.py)

# The modules without I/O, clock or dice: every branch of them is tested.
empty :=
space := $(empty) $(empty)
comma := ,
PURE  := $(subst $(space),$(comma),$(addprefix chordme_daemon/, \
	engineio/packet.py engineio/encoded.py engineio/session.py \
	socketio/packet.py socketio/recovery.py app/events.py app/parsing.py app/auth.py \
	app/limits.py app/budgets.py app/measures.py app/rulings.py app/keyring.py \
	app/document.py app/shadow.py app/chordpro.py app/merging.py backend/bodies.py backend/notices.py histogram.py ot.py))

# What the journeys need from Debian, where it is missing and may be installed; the tests that
# need a program that is still missing say so, and fail in CI.
PYTHON_H := $(shell $(PYTHON) -c "import sysconfig; print(sysconfig.get_path('include'))")/Python.h
.PHONY: debian-packages
debian-packages:
	@./tests/install-debian-packages npm:npm redis-server:redis-server chromium:chromium \
		/usr/sbin/nginx:nginx-light /usr/sbin/haproxy:haproxy zsh:zsh fish:fish groff:groff-base \
		/usr/sbin/logrotate:logrotate systemd-analyze:systemd \
		cc:gcc cc:libc6-dev $(PYTHON_H):python3-dev

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

# compat: the editable finder would hide twisted/plugins from twistd.
EDITABLE := --config-settings editable_mode=compat --editable

$(VENV)/.installed: setup.py $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check $(EDITABLE) .
	touch $@

$(VENV)/.installed-dev: setup.py $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check $(EDITABLE) '.[test,lint,news]'
	touch $@ $(VENV)/.installed

.PHONY: npm-packages
npm-packages: debian-packages
	@! command -v npm >/dev/null || $(MAKE) --no-print-directory \
		tests/journeys/node_modules/.installed frontend/node_modules/.installed

%/node_modules/.installed: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --silent
	touch $@

clean:
	rm -rf $(VENV) chordme_daemon/page tests/journeys/node_modules frontend/node_modules build dist *.egg-info
