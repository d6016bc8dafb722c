# Two commands do everything: `make demo` starts a conversation, `make test` runs the tests.
VENV    ?= .venv
# The Python to make it with; empty: the first of python3.11, 3.12 and 3.13 that is here.
PYTHON  ?=
BIN     := $(VENV)/bin
BUF     := build/buf/node_modules/.bin/buf
# How many processes share the tests; auto: one more than there are cores.
WORKERS ?= auto
# The build of torch to install; empty: what suits this machine (see deploy/install.py).
export OVIYA_TORCH_BACKEND ?=

.PHONY: help setup setup-dev demo test test-slow test-compose test-gpu test-whisperx check format lock env-files protos demo-voice \
        emotion-model clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## install Oviya into $(VENV)
	@PYTHON=$(PYTHON) VENV=$(VENV) deploy/setup.sh run

setup-dev:  ## install Oviya, the test needs, and what apt and npm must bring
	@PYTHON=$(PYTHON) VENV=$(VENV) deploy/setup.sh dev

demo: setup  ## start the whole mesh here; prints the address of the page
	@exec $(BIN)/oviya up

test: setup-dev  ## run the tests, all but the slow ones, several at a time (WORKERS=2 for two)
	@$(BIN)/python -m pytest -n $(WORKERS)

test-slow: setup-dev  ## run the slow tests: long sounds, floods, talks at real pace, training
	@$(BIN)/python -m pytest -n $(WORKERS) -m slow

test-compose: setup-dev  ## the same mesh in containers, on a real Docker engine
	@deploy/docker/wheels.sh $(BIN)/python
	@$(BIN)/python -m pytest -m compose tests/compose

test-gpu: setup-dev  ## CSM and Mimi as processes on a GPU, at the published sizes
	@$(BIN)/python -m pytest -m gpu tests/gpu

test-whisperx:  ## speech-to-text with WhisperX, in an environment of its own (2 GB)
	@PYTHON=$(PYTHON) VENV=.venv-whisperx deploy/setup.sh whisperx
	@.venv-whisperx/bin/python -m pytest -m whisperx tests/whisperx

check: setup-dev $(BUF)  ## lint, formatting, types, contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BUF) lint protos
	@if git rev-parse -q --verify main >/dev/null; \
	then $(BUF) breaking protos --against '.git#branch=main,subdir=protos'; fi

demo-voice: setup-dev  ## train the demo voice on a GPU, into models/ (some 25 minutes on one H100)
	$(BIN)/python -m training.demo_voice

format:  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## write requirements/*.lock again; `make lock UPGRADE=1` takes the newest versions
	@PYTHON=$(PYTHON) VENV=$(VENV) deploy/setup.sh lock $(if $(UPGRADE),--upgrade)

env-files: setup-dev  ## write the names of the settings that each container gets
	@$(BIN)/python -m deploy.env_files

protos:  ## generate the stubs in oviya/v1 from protos/
	@$(BIN)/python protos/generate.py

emotion-model: setup-dev  ## make models/emotion again: `make emotion-model GOEMOTIONS=folder`, a quarter of an hour
	@test -f "$(GOEMOTIONS)/train.tsv" || { echo "GOEMOTIONS=folder must hold train.tsv, dev.tsv and labels.txt"; exit 2; }
	$(BIN)/pip install --quiet -r training/emotion/requirements.txt
	OMP_NUM_THREADS=1 $(BIN)/python -m training.emotion "$(GOEMOTIONS)"

$(BUF):
	npm install --silent --no-fund --no-audit --prefix build/buf @bufbuild/buf@1.75.0

clean:  ## remove what was built; keeps models and settings
	rm -rf build dist $(VENV) .oviya .pytest_cache .ruff_cache
