# %% [markdown]
# # Exercises 01: Bayes' rule
#
# Paper first, then code. `check` says within seconds whether an answer is right, and if not, what it looks like.
# `hint("01.1")` gives a hint, three in all. The package's own models do not count as an answer: the exercises ask for
# what they do. Nothing here is graded until you hand it in.
#
# After a wrong answer, `case("01.1")` returns the arguments with which your function failed.
#
# Notebook: [01_bayes_rule.ipynb](../notebooks/01_bayes_rule.ipynb).

# %% tags=["setup"]
import numpy as np

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 01.1 Repair the published rule
#
# *Warm-up, 6 minutes.* A published note prints $p(z \mid x)=p(x \mid z)\,/\,p(x)$. On a table that is
#
# ```python
# def as_published(prior, likelihood, x):
#     explains = likelihood[:, x]            # p(x | z), one entry for each z
#     return explains / (prior @ explains)   # divided by p(x)
# ```
#
# Copy it into a cell of your own, try it on a small table, and see what its numbers add up to. Then write the rule as it
# should be.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "01-1", "schema_version": 3}
def posterior(prior, likelihood, x):
    """p(z | x), one number for each z.

    Args:
        prior: p(z), array of shape (K,).
        likelihood: p(x | z), array of shape (K, M), one row for each z; each row adds up to 1.
        x: the column that was observed, an int.

    Returns:
        an array of shape (K,)
    """
    ### BEGIN SOLUTION
    agrees = prior * likelihood[:, x]  # the joint p(x, z)
    return agrees / agrees.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "01-1-check", "points": 1, "schema_version": 3}
check("01.1", posterior)
### BEGIN HIDDEN TESTS
assert check("01.1", posterior).right
### END HIDDEN TESTS

# %%
# hint("01.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 01.2 One observation after the other
#
# *Core, 12 minutes.* A hidden number $z \sim N(m_0,s_0^2)$ is seen $N$ times: $x_i=wz+b+\text{noise}$, every time the
# same $z$ and a new, independent noise of *variance* $c$. After all of them, the posterior of $z$ is a Gaussian. Give
# its mean and its *standard deviation*.
#
# Here $m_0$ and $s_0$ are `prior_loc` and `prior_scale`; $s_0$ is a standard deviation. In the notebook they were 0 and 1.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "01-2", "schema_version": 3}
def after_all(x, slope, offset, noise_variance, prior_loc, prior_scale):
    """Mean and standard deviation of p(z | x_1, ..., x_N).

    Args:
        x: the observations, array of shape (N,).
        slope, offset: w and b, floats. noise_variance: c > 0, a float.
        prior_loc, prior_scale: mean and standard deviation of z before it is seen, floats.

    Returns:
        an array of shape (2,): mean, standard deviation
    """
    ### BEGIN SOLUTION
    loc, precision = prior_loc, prior_scale**-2
    for value in x:  # yesterday's posterior is today's prior
        pulled = precision * loc + slope * (value - offset) / noise_variance
        precision = precision + slope**2 / noise_variance
        loc = pulled / precision
    return np.array([loc, precision**-0.5])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "01-2-check", "points": 2, "schema_version": 3}
check("01.2", after_all)
### BEGIN HIDDEN TESTS
assert check("01.2", after_all).right
### END HIDDEN TESTS

# %%
# hint("01.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 01.3 One z for all
#
# *Stretch, 15 minutes.* A log-likelihood is a sum over observations, if these are independent. Here they are not: as in
# 01.2, all $N$ of them come from one $z$, now with $z \sim N(0,1)$, and $x_i=wz+b+\text{noise}$ of variance $c$. Nobody
# knows $z$.
#
# Write $\log p(x_1,\dots,x_N)$ in nats. There are several ways to it; one uses 01.2.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "01-3", "schema_version": 3}
def log_density_together(x, slope, offset, noise_variance):
    """log p(x_1, ..., x_N) where all x_i share one z ~ N(0, 1).

    Args:
        x: the observations, array of shape (N,).
        slope, offset: w and b, floats. noise_variance: c > 0, a float.

    Returns:
        a float, in nats
    """
    ### BEGIN SOLUTION
    total, loc, precision = 0.0, 0.0, 1.0
    for value in x:
        gap, variance = value - slope * loc - offset, slope**2 / precision + noise_variance  # predict, ...
        total += -0.5 * (np.log(2 * np.pi * variance) + gap**2 / variance)
        pulled = precision * loc + slope * (value - offset) / noise_variance  # ... then update
        precision = precision + slope**2 / noise_variance
        loc = pulled / precision
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "01-3-check", "points": 3, "schema_version": 3}
check("01.3", log_density_together)
### BEGIN HIDDEN TESTS
assert check("01.3", log_density_together).right
### END HIDDEN TESTS

# %%
# hint("01.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
