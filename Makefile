# Needs Python 3.11 or newer with venv, and a package registry. `.venv` belongs to this file: an installation
# that was cut short leaves no stamp there, and the next one starts from an empty `.venv`.

# The first that runs: a name on the PATH may be too old, or a launcher without an interpreter behind it.
USABLE := -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(firstword $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p $(USABLE) && echo $$p; done))

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
INSTALLED_DOCS := .venv/.installed-docs
# Without --no-compile pip compiles thousands of modules, which takes as long as the rest; the first run compiles
# the few hundred that it imports, provided it may keep the result.
export PYTHONDONTWRITEBYTECODE :=
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check --no-compile -c constraints.txt
DKD := HF_HUB_OFFLINE=1 $(BIN)/dkd
STRATEGIES := none static dynamic-objective

.PHONY: help quickstart test lint bench soak docs reference figure clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-12s%s\n", $$1, $$2 }'

quickstart: $(INSTALLED)  ## teachers, three students, one table, and the smallest that suffices: a CPU, no downloads after set-up
	@echo '[1/4] dkd train-teacher'
	@$(DKD) train-teacher
	@echo '[2/4] dkd distill $(STRATEGIES:%=--strategy %)'
	@$(DKD) distill $(STRATEGIES:%=--strategy %)
	@echo '[3/4] dkd evaluate checkpoints/quickstart'
	@$(DKD) evaluate checkpoints/quickstart
	@echo '[4/4] dkd shrink quickstart --keep 97%'
	@$(DKD) shrink quickstart --keep 97%

test: $(INSTALLED_DEV)  ## all tests, offline; ARGS='-k losses' narrows them
	@echo '[test] pytest, two processes of one thread each'
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: $(INSTALLED_DEV)  ## ruff (rules and format) and mypy
	@echo '[lint] ruff check, ruff format --check, mypy'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(INSTALLED)  ## what distillation costs beside fine-tuning alone; ARGS='--quick' to see that it works
	@echo '[bench] benchmarks/, on a machine that has nothing else to do'
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(INSTALLED_DEV)  ## an hour of kills, full disks, damage and signals; resumes; ARGS='--share 0.1' for less
	@echo '[soak] soak/, for an hour at most'
	@$(BIN)/python -m soak $(ARGS)

docs: $(INSTALLED_DOCS)  ## build the documentation site in site/; a dead link or a warning fails
	@echo '[docs] site/'
	@$(BIN)/python -m tools.site

reference: $(INSTALLED)  ## regenerate docs/recipe-reference.md from the recipe's dataclasses
	@echo '[reference] docs/recipe-reference.md'
	@$(BIN)/python -m dkd_cli.recipe.reference > docs/recipe-reference.md.new
	@mv docs/recipe-reference.md.new docs/recipe-reference.md

figure: $(INSTALLED)  ## redraw docs/strategies.svg from the table in docs/results.md
	@echo '[figure] docs/strategies.svg'
	@$(BIN)/python -m tools.figure

clean:  ## remove .venv, caches, dist/ and site/; keeps checkpoints/
	@echo '[clean] .venv, caches, dist, site'
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache dist build site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@'$(PYTHON)' $(USABLE) || { echo "make: needs Python 3.11 or newer with venv, and '$(PYTHON)' is not;" \
		"install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo '[setup] .venv with $(PYTHON): torch, transformers and a small pretrained encoder (1.5 GB, a minute or two)'
	@test -e $@ || '$(PYTHON)' -m venv --clear .venv
	@rm -f $(INSTALLED) $(INSTALLED_DEV) $(INSTALLED_DOCS)
# On its own and first: pip then takes the build it was told to prefer (find-links, an extra index for CPUs), and
# nothing that comes later replaces it.
	@$(PIP_INSTALL) torch
	@$(PIP_INSTALL) -e '.[quickstart,onnx]'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo '[setup] development tools'
	@rm -f $(INSTALLED)
	@$(PIP_INSTALL) -e '.[quickstart,onnx,dev]'
	@touch $(INSTALLED) $@

$(INSTALLED_DOCS): $(INSTALLED)
	@echo '[setup] documentation tools'
	@$(PIP_INSTALL) -e '.[docs]'
	@touch $@
