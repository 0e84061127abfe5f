# %% [markdown]
# # Exercises 05: the evidence lower bound
#
# `check` reads a derivation as you type it: a list of lines, of any length. It stops at the first line that does not
# follow, and says what it looks like. `hint("05.1")` gives a hint, three in all. If you want to warm up first, begin with
# 05.2.
#
# Notebook: [05_elbo.ipynb](../notebooks/05_elbo.ipynb).

# %% tags=["setup"]
from vaelib.exercise import case, check, hint, progress
from vaelib.terms import KL, E, H, log_E, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q

# %% [markdown]
# ## 05.1 From the evidence to the bound
#
# *Core, 15 minutes.* Begin with $\log p(x)$ and end with $\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))$, by
# the route that you like: of the four in the notebook, or your own. One rule a line: where something is lost, it
# is seen in the line above. The first and the last line must be what is printed here, up to the order of the terms.
#
# A line is a term, built from the names imported above. Alone, it is equal to the line above. A pair `(">=", term)` says that
# the line above is at least this one. A reason may be added: `(">=", term, "a KL is never negative")`.
# A line may also be LaTeX, or all of them one text: `check("05.1", r"\log p(x) = \mathbb{E}_q[...] \\ \ge ...")`.

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "05-1", "schema_version": 3}
to_the_bound = [
    log_evidence,
    ...,  # your lines, and last E(q, log_lik) - KL(q, prior)
]
### BEGIN SOLUTION
to_the_bound = [
    log_evidence,
    E(q, log_joint - log_post),
    E(q, log_joint - log_q) + KL(q, post),
    (">=", E(q, log_joint - log_q)),
    E(q, log_lik) - KL(q, prior),
]
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "05-1-check", "points": 2, "schema_version": 3}
check("05.1", to_the_bound)
### BEGIN HIDDEN TESTS
assert check("05.1", to_the_bound).right
### END HIDDEN TESTS

# %%
# hint("05.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 05.2 Which line is the first that is broken?
#
# *Warm-up, 5 minutes.* A lecture note derives the bound like this. Which is the *first* line that does not follow from
# the line above it?
#
# | line | |
# |--:|:--|
# | 0 | $\log p(x)$ |
# | 1 | ${=\mathbb{E}_q[\log p(x \mid z) + \log p(z) - \log p(z \mid x)]}$ |
# | 2 | ${=\mathbb{E}_q[\log p(x \mid z) + \log p(z) - \log p(z \mid x) + \log q(z) - \log q(z)]}$ |
# | 3 | ${=\mathbb{E}_q[\log p(x \mid z)] - \mathbb{E}_q[\log q(z) - \log p(z)] + \mathbb{E}_q[\log q(z) - \log p(x \mid z)]}$ |
# | 4 | ${\ge \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))}$ |

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "05-2", "schema_version": 3}
broken_line = ...  # a number from 1 to 4
### BEGIN SOLUTION
broken_line = 3
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "05-2-check", "points": 1, "schema_version": 3}
check("05.2", broken_line)
### BEGIN HIDDEN TESTS
assert check("05.2", broken_line).right
### END HIDDEN TESTS

# %%
# hint("05.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 05.3 Repair a published derivation, and finish it
#
# *Stretch, 18 minutes.* A blog post looks for the $q$ nearest to the posterior. All averages are under $q$.
#
# | line | |
# |--:|:--|
# | 0 | $\mathrm{KL}(q(z) \,\Vert\, p(z \mid x))$ |
# | 1 | ${=\mathbb{E}_q[\log q(z)] - \mathbb{E}_q[\log p(z \mid x)]}$ |
# | 2 | ${=\mathbb{E}_q[\log q(z)] - \mathbb{E}_q\left[\frac{\log p(x \mid z)\,p(z)}{p(x)}\right]}$ |
# | 3 | ${=\mathbb{E}_q[\log q(z)] - \mathbb{E}_q\left[\frac{\log p(z,x)}{\log p(x)}\right]}$ |
# | 4 | ${=\mathbb{E}_q[\log q(z)] - \mathbb{E}_q[\log p(z,x)] - \log p(x)}$ |
#
# There it stops, as "intractable". Type the repaired chain, and carry it to the evidence less the bound:
# $\log p(x) - \left(\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))\right)$. At least five lines,
# counting the first and the last, one rule each; the last must have this form, with or without the brackets. A line may
# also be LaTeX, or all of them one text: `check("05.3", r"\mathrm{KL}(q \Vert p(z \mid x)) = ... \\ = ...")`.

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "05-3", "schema_version": 3}
repaired = [
    KL(q, post),
    E(q, log_q) - E(q, log_post),
    ...,  # your lines, and last log_evidence - (E(q, log_lik) - KL(q, prior))
]
### BEGIN SOLUTION
repaired = [
    KL(q, post),
    E(q, log_q) - E(q, log_post),
    (E(q, log_q) - E(q, log_lik + log_prior - log_evidence), "Bayes: the logarithm covers the whole quotient"),
    (E(q, log_q) - E(q, log_lik + log_prior) + log_evidence, "minus a minus; log p(x) does not depend on z"),
    (E(q, log_q - log_prior) - E(q, log_lik) + log_evidence, "linearity, sorted"),
    (log_evidence - (E(q, log_lik) - KL(q, prior)), "definition of KL"),
]
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "05-3-check", "points": 3, "schema_version": 3}
check("05.3", repaired)
### BEGIN HIDDEN TESTS
assert check("05.3", repaired).right
### END HIDDEN TESTS

# %%
# hint("05.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
