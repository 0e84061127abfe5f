# Thin on purpose: each target is what you would type. docs/student.md gives the same for PowerShell and for plain pip.

# Any Python >= 3.11; it is used once, to create .venv. Another one: make lab PYTHON=python3.12
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/installed

.PHONY: help lab course

help: # each target with the text behind its ##
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

lab: $(READY) ## open your own copies of the notebooks (in work/) in JupyterLab; begin here
	@$(PY) tools/lab.py $(ARGS)

course: $(READY) ## verify the derivations, train the VAE on the digits, draw the pictures
	@$(PY) -m vaelib.cli.course

# The stamp is made only by an installation that ran to its end, and is out of date when a requirement changes.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "Expected Python >= 3.11 under the name $(PYTHON), but found none. Install it, or name yours: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) tools/install.py && touch $@

# ---- for those who teach the course or work on it; the copies of students end above this line ----

TOOLS := .venv/installed-tools

SITE := .venv/installed-site

MUTATION := .venv/installed-mutation

.PHONY: test test-rest test-all mutants mutation teach exercises instructor student bench site slides

# A file of tests stays in one process; the long files come first, in the order that conftest.py gives them.
PYTEST := $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(TOOLS) ## lint, types, and the short form of the tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PYTEST)

test-rest: $(TOOLS) ## what `make test` leaves out: the other seeds, cases and notebooks
	$(PYTEST) --form=rest

test-all: test test-rest ## every test, once

mutants: $(TOOLS) ## plant errors in the solutions of the exercises; about twenty minutes
	@$(PY) tools/mutants.py $(ARGS)

mutation: $(MUTATION) ## plant errors in the package, and see whether its tests notice; hours, or ARGS="kl em"
	@$(PY) tools/mutation.py $(ARGS)

teach: $(READY) ## like make lab, with the session plans in work/notebooks/teach
	@$(PY) tools/lab.py --teach $(ARGS)

student: exercises ## pack the course for a class, without the solutions: student.zip
	@$(PY) tools/student.py

exercises: $(TOOLS) ## make the students' notebooks from exercises/source
	@$(PY) tools/make_exercises.py

instructor: $(TOOLS) ## the exercises with solutions, as an nbgrader course: instructor/
	@$(PY) tools/instructor.py

site: $(SITE) ## the web site, from what is stored: build/site/html/index.html
	@$(PY) tools/website.py

slides: $(READY) ## a deck of the pictures to remember: build/slides/index.html; needs npm once
	@test -d site/node_modules || npm ci --no-audit --no-fund --prefix site
	@$(PY) tools/slides.py

bench: $(READY) ## time training on this machine, on one thread (benchmarks/README.md has the rest)
	@$(PY) benchmarks/training.py --threads 1

$(TOOLS): $(READY)
	@$(PYTHON) tools/install.py course,test && touch $@

$(SITE): $(TOOLS)
	@$(PYTHON) tools/install.py course,test,site && touch $@

$(MUTATION): $(TOOLS)
	@$(PYTHON) tools/install.py course,test,mutation && touch $@
