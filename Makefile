PYTHON ?= python3
FLAVOR ?= cu113
CORES ?= $(shell nproc)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help demo test test-floor lint docs audit bench rehearse reference image lock gpu-check
help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(BIN)/.ready ## Set everything up in .venv, run the studies on phantoms, print where the page is
	$(BIN)/snakemake --cores $(CORES) --config scale=demo device=cpu threads=1
	@echo "The page of all studies is $(CURDIR)/results/index.html"

test: $(BIN)/.ready-dev ## Run the tests
	$(BIN)/python -m pytest -n $(CORES) tests

test-floor: ## Run the tests with Python 3.9 and torch 1.12.1, the oldest versions that are supported
	bash envs/test_floor.sh

lint: $(BIN)/.ready-dev ## Check style, types, imports between rooms, length of files, workflow, study files, tables of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	@awk 'FNR == 301 {print FILENAME ": more than 300 lines; split it"; long = 1} END {exit long}' $$(find src -name '*.py' -o -name '*.html' -o -name '*.css' -o -name '*.js')
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/rescan check studies/*.yaml docs/examples/*.yaml
	$(BIN)/python -m rescan.catalogue.documentation --check

docs: $(BIN)/.ready ## Write the tables of docs/study-file.md from the records of the catalogue
	$(BIN)/python -m rescan.catalogue.documentation

audit: $(BIN)/.ready-dev ## Look for known weaknesses in all locked packages (needs the network)
	@failed=; for lock in host current cu113 dev pip; do \
	  echo "envs/$$lock.txt:"; \
	  $(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement envs/$$lock.txt || failed=1; \
	done; [ -z "$$failed" ]

bench: $(BIN)/.ready ## Measure the speed of the main steps
	$(BIN)/python -m tests.bench

reference: $(BIN)/.ready ## Say which headline numbers of results/demo and results/small moved (UPDATE=1: write the references anew)
	$(BIN)/python -m tests.reference $(if $(UPDATE),--write)

rehearse: $(BIN)/.ready ## Run a study at full scale on stand-ins of full number (STUDY=mura FOLDER=/a/large/disk), see docs/full-scale.md
	$(BIN)/python -m tests.full_scale $(STUDY) $(FOLDER)

gpu-check: $(BIN)/.ready ## Show on one GPU, in 8 minutes, what only a GPU can: speed, precision, memory, sharing, resuming
	$(BIN)/python -m tests.gpu_check

image: ## Build the container image (FLAVOR=cu113 or current) and, where Apptainer is, images/rescan-<flavor>.sif
	@bash envs/image.sh $(FLAVOR) $(BUILD_ARGS)

lock: ## Write envs/*.txt anew from pyproject.toml (needs uv)
	bash envs/lock.sh

$(BIN)/.ready: envs/host.txt envs/current.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rescan's workflow needs Python 3.11 or newer, this is $$($(PYTHON) --version): make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv is missing: on Debian or Ubuntu, apt install python3-venv"; exit 1; }
	$(PIP) --require-hashes -r envs/host.txt -r envs/current.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/.ready-dev: $(BIN)/.ready envs/dev.txt
	$(PIP) --require-hashes -r envs/dev.txt
	touch $@
