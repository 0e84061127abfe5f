# %% [markdown]
# # Exercises 04: the KL between Gaussians
#
# Derive on paper, then write what you found. `check` says within seconds whether it is right, and if not, what it
# looks like. `hint("04.1")` gives a hint, three in all. If you want to warm up first, begin with 04.3.
#
# After a wrong answer, `case("04.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [04_gaussian_kl.ipynb](../notebooks/04_gaussian_kl.ipynb).

# %% tags=["setup"]
import numpy as np
from scipy.linalg import solve_triangular  # solve_triangular(L, b, lower=True) solves L u = b

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 04.1 One dimension
#
# *Core, 10 minutes.* Take $q = N(\mu_q, \sigma_q^2)$ and $p = N(\mu_p, \sigma_p^2)$. Derive $\mathrm{KL}(q \,\Vert\, p)$ on paper,
# and write it down as a function, in nats. The parameters are means and *standard deviations*.
# You may also hand over LaTeX, in $\mu_q, \sigma_q, \mu_p$ and $\sigma_p$:
# `check("04.1", r"\log\frac{\sigma_p}{\sigma_q} + ...")`.
#
# Before you call `check`, call your function with $q=p$. What must come out?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04-1", "schema_version": 3}
def kl_normal(loc_q, scale_q, loc_p, scale_p):
    """KL(q || p) of two univariate Gaussians, in nats.

    Args:
        loc_q, scale_q, loc_p, scale_p: floats; the scales are standard deviations, > 0.

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    scale_ratio, gap = scale_q / scale_p, (loc_q - loc_p) / scale_p
    return 0.5 * (scale_ratio**2 + gap**2 - 1) - np.log(scale_ratio)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04-1-check", "points": 2, "schema_version": 3}
check("04.1", kl_normal)
### BEGIN HIDDEN TESTS
assert check("04.1", kl_normal).right
### END HIDDEN TESTS

# %%
# hint("04.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 04.2 What an encoder pays
#
# *Core, 10 minutes.* An encoder gives `loc` and `log_scale`, the logarithm of the *standard deviation*, for each of $B$
# examples and $k$ latents. The latents are independent. Write the KL to the prior $N(0, I)$, in nats, one number for each
# example, without a ready-made KL. You may also hand over LaTeX for one example, in $\mu_j$ and $\sigma_j$, summed
# over $j$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04-2", "schema_version": 3}
def kl_to_prior(loc, log_scale):
    """KL(q || N(0, I)) in nats, one for each example.

    Args:
        loc, log_scale: arrays of shape (B, k)

    Returns:
        an array of shape (B,)
    """
    ### BEGIN SOLUTION
    variance = np.exp(2 * log_scale)
    return 0.5 * (variance + loc**2 - 1 - 2 * log_scale).sum(axis=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04-2-check", "points": 2, "schema_version": 3}
check("04.2", kl_to_prior)
### BEGIN HIDDEN TESTS
assert check("04.2", kl_to_prior).right
### END HIDDEN TESTS

# %%
# hint("04.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 04.3 Where the missing logarithm hides
#
# *Warm-up, 6 minutes.* A published formula forgets a logarithm:
#
# $$\frac{\sigma_q^2+(\mu_q-\mu_p)^2}{2\sigma_p^2}-\frac12.$$
#
# Somebody tests it at one $q$, and the test passes: there the formula and the true $\mathrm{KL}(q \,\Vert\, p)$ agree, and both
# are `nats`. Which $q=N(\mu_q,\sigma_q^2)$ is it? There are two; give the one with $\mu_q\gt\mu_p$.
#
# The picture in section 4 of the notebook shows such points.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04-3", "schema_version": 3}
def hiding_place(loc_p, scale_p, nats):
    """Mean and standard deviation of the q at which both formulas give the same number of nats.

    Args:
        loc_p, scale_p: floats; scale_p is a standard deviation, > 0.
        nats: a float > 0, the value of both formulas.

    Returns:
        two numbers, loc_q > loc_p and scale_q: an array of shape (2,), or a list
    """
    ### BEGIN SOLUTION
    # the formulas differ by log(scale_p / scale_q), so the scales are equal; then only the squared gap is left
    return [loc_p + scale_p * np.sqrt(2 * nats), scale_p]
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04-3-check", "points": 1, "schema_version": 3}
check("04.3", hiding_place)
### BEGIN HIDDEN TESTS
assert check("04.3", hiding_place).right
### END HIDDEN TESTS

# %%
# hint("04.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 04.4 Full covariances, from their Cholesky factors
#
# *Stretch, 18 minutes.* Some encoders return a full covariance $\Sigma=LL^\top$ as its Cholesky factor $L$: lower triangular, with
# a positive diagonal. Write $\mathrm{KL}(q \,\Vert\, p)$ in nats from $\mu_q,L_q,\mu_p,L_p$,
# without a ready-made KL. You may also hand over LaTeX, in $\mu_q, \Sigma_q, L_q, \mu_p, \Sigma_p, L_p$ and $k$.
#
# One question has $k=120$ latents with scales near $0.001$. There a determinant is too small for a float; its logarithm is
# not. And no matrix need be inverted: which two triangular systems do you solve instead?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04-4", "schema_version": 3}
def kl_full(loc_q, tril_q, loc_p, tril_p):
    """KL(q || p) of two Gaussians in k dimensions, in nats.

    Args:
        loc_q, loc_p: arrays of shape (k,), the means.
        tril_q, tril_p: arrays of shape (k, k), lower triangular with positive diagonals: covariance = tril @ tril.T.

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    spread = solve_triangular(tril_p, tril_q, lower=True)  # (k, k): its squares sum to the trace
    gap = solve_triangular(tril_p, loc_q - loc_p, lower=True)  # (k,)
    log_det_ratio = 2 * np.sum(np.log(np.diag(tril_p) / np.diag(tril_q)))
    return 0.5 * (np.sum(spread**2) + np.sum(gap**2) - len(loc_q) + log_det_ratio)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04-4-check", "points": 3, "schema_version": 3}
check("04.4", kl_full)
### BEGIN HIDDEN TESTS
assert check("04.4", kl_full).right
### END HIDDEN TESTS

# %%
# hint("04.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
