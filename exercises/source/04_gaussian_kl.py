# %% [markdown]
# # Exercises 04: the KL between Gaussians
#
# Derive on paper, then write what you found. `check` says within a second whether it is right, and if not, what it
# looks like. `hint("04.1")` gives a hint, three in all. Nothing here is graded until you hand it in.
#
# Notebook: [04_gaussian_kl.ipynb](../notebooks/04_gaussian_kl.ipynb).

# %% tags=["setup"]
import numpy as np

from vaelib.exercise import check, hint, progress

# %% [markdown]
# ## 04.1 One dimension
#
# *Core, 10 minutes.* Take $q = N(\mu_q, \sigma_q^2)$ and $p = N(\mu_p, \sigma_p^2)$. Write $\mathrm{KL}(q \,\Vert\, p)$
# in nats. The parameters are means and *standard deviations*.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04.1", "schema_version": 3}
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


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04.1-check", "points": 2, "schema_version": 3}
check("04.1", kl_normal)
### BEGIN HIDDEN TESTS
assert check("04.1", kl_normal).right
### END HIDDEN TESTS

# %% [markdown]
# ## 04.2 What an encoder pays
#
# *Core, 10 minutes.* An encoder gives `loc` and `log_scale`, the logarithm of the standard deviation, for each of $B$
# examples and $k$ latents. Write the KL to the prior $N(0, I)$ of each example.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "04.2", "schema_version": 3}
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


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "04.2-check", "points": 2, "schema_version": 3}
check("04.2", kl_to_prior)
### BEGIN HIDDEN TESTS
assert check("04.2", kl_to_prior).right
### END HIDDEN TESTS

# %% [markdown]
# ## Where you are

# %%
progress()
