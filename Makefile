# Thin on purpose: each target is what you would type. README.md gives the same for PowerShell and for plain pip.

# Any Python >= 3.11; it is used once, to create .venv. Another one: make course PYTHON=python3.12
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/installed

.PHONY: help course test lab exercises student bench

help:
	@echo "make course   verify the derivations, train the VAE on the digits, draw the pictures"
	@echo "make test     lint, types, tests and notebooks"
	@echo "make lab      open your own copies of the notebooks (in work/) in JupyterLab"
	@echo "make exercises  make the students' notebooks from exercises/source"
	@echo "make student  pack the course without the solutions: student.zip"
	@echo "make bench    time training on this machine, on one thread (benchmarks/README.md has the rest)"

course: $(READY)
	@$(PY) -m vaelib.course

test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest

lab: $(READY)
	@$(PY) tools/lab.py $(ARGS)

exercises: $(READY)
	@$(PY) tools/make_exercises.py

student: exercises
	@$(PY) tools/student.py

bench: $(READY)
	@$(PY) benchmarks/training.py --threads 1

# The stamp is made only by an installation that ran to its end, and is out of date when a requirement changes.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "Expected Python >= 3.11 under the name $(PYTHON), but found none. Install it, or name yours: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) tools/install.py && touch $@
