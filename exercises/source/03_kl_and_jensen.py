# %% [markdown]
# # Exercises 03: KL and Jensen
#
# A prediction, two functions, and one expectation that can be done exactly. `check` says within seconds whether the
# answer is right, and if not, what it looks like. `hint("03.1")` gives a hint, three in all.
#
# After a wrong answer, `case("03.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [03_kl_and_jensen.ipynb](../notebooks/03_kl_and_jensen.ipynb).

# %% tags=["setup"]
import numpy as np
from scipy.special import xlogy  # xlogy(a, b) is a log b, and 0 where a = 0

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 03.1 From cheap to expensive
#
# *Warm-up, 5 minutes.* Here are five costs $\mathrm{KL}(q \,\Vert\, p)$. The fair coin shows heads with probability $0.5$, the bent
# one with probability $0.95$; $U(a,b)$ is uniform between $a$ and $b$.
#
# | | $q$ | $p$ |
# |:--|:--|:--|
# | a | fair coin | bent coin |
# | b | bent coin | fair coin |
# | c | $U(0,1)$ | $U(0,2)$ |
# | d | $U(0,2)$ | $U(0,1)$ |
# | e | bent coin | bent coin |
#
# Predict their order, from the smallest to the largest. Reason first: which is zero, which has a limit, which has none?
# Compute only where that leaves two in doubt.

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "03-1", "schema_version": 3}
order = ...  # five letters in one word, the smallest first, such as "abcde"
### BEGIN SOLUTION
order = "ebcad"
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "03-1-check", "points": 1, "schema_version": 3}
check("03.1", order)
### BEGIN HIDDEN TESTS
assert check("03.1", order).right
### END HIDDEN TESTS

# %%
# hint("03.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 03.2 KL of two tables
#
# *Core, 10 minutes.* Each row of `q` and of `p` is a table of probabilities over the same $n$ states. Write
# $\mathrm{KL}(q \,\Vert\, p)$ in nats, one number for each row.
#
# A state may be empty. Where $q$ has no mass, nothing is drawn: $0\log 0=0$. Where $q$ has mass and $p$ has none, the KL is
# infinite, and so should yours be. Use NumPy and `xlogy` (imported above), and no ready-made
# KL; no loop is needed.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "03-2", "schema_version": 3}
def kl_tables(q, p):
    """KL(q || p) of tables, in nats, one for each row.

    Args:
        q, p: arrays of shape (B, n), >= 0; each row sums to one.

    Returns:
        an array of shape (B,), np.inf where q has mass on a state without mass in p
    """
    ### BEGIN SOLUTION
    extra_surprise = xlogy(q, q) - xlogy(q, p)  # (B, n); minus minus infinity where only q has mass
    return extra_surprise.sum(axis=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "03-2-check", "points": 2, "schema_version": 3}
check("03.2", kl_tables)
### BEGIN HIDDEN TESTS
assert check("03.2", kl_tables).right
### END HIDDEN TESTS

# %%
# hint("03.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 03.3 The Gaussian nearest to a mixture
#
# *Core, 10 minutes.* A mixture $p(z)=\sum_i w_i\,N(z;\mu_i,\sigma_i^2)$ draws a component $i$ with probability $w_i$, then $z$ from
# it. Among all Gaussians $q$, one makes the *forward* $\mathrm{KL}(p \,\Vert\, q)$ smallest. Which one?
#
# Write its mean and its standard deviation as a function of weights, centers and scales. No search is needed: derive it on
# paper, from what $\mathrm{KL}(p \,\Vert\, q)$ sees of $p$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "03-3", "schema_version": 3}
def nearest_gaussian(weights, locs, scales):
    """Mean and standard deviation of the Gaussian q with the smallest KL(p || q).

    Args:
        weights: an array of shape (n,), > 0, sums to one.
        locs, scales: arrays of shape (n,); the scales are standard deviations, > 0.

    Returns:
        two numbers, the mean and the standard deviation: an array of shape (2,), or a list
    """
    ### BEGIN SOLUTION
    mean = weights @ locs
    inside, between = weights @ scales**2, weights @ (locs - mean) ** 2
    return np.array([mean, np.sqrt(inside + between)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "03-3-check", "points": 2, "schema_version": 3}
check("03.3", nearest_gaussian)
### BEGIN HIDDEN TESTS
assert check("03.3", nearest_gaussian).right
### END HIDDEN TESTS

# %%
# hint("03.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 03.4 What the logarithm of an average loses
#
# *Stretch, 15 minutes.* A weight $w$ is `high` with probability `rate`, else `low`. You average $S$ independent draws of it,
# $\hat p=\frac1S\sum_s w_s$. The average has the right mean, $\mathbb{E}[\hat p]=\mathbb{E}[w]$. Its logarithm falls short of
# $\log\mathbb{E}[w]$, by Jensen.
#
# Write the exact gap in nats:
#
# $$\log\mathbb{E}[\hat p]-\mathbb{E}[\log\hat p].$$
#
# No sampling: how many values can $\hat p$ take?
#
# *For yourself, once it is right:* compare $S=1$ with $S=2$, for a rare and large `high`. Does the second draw halve the gap?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "03-4", "schema_version": 3}
def jensen_gap(high, low, rate, draws):
    """log E[p_hat] - E[log p_hat] in nats, where p_hat is the average of several draws of w.

    Args:
        high, low: floats > 0, the two values of w.
        rate: a float between 0 and 1, the probability of high.
        draws: an int, S >= 1.

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    probability = np.array([1.0])  # of k high draws among s; one more draw at a time
    for _ in range(draws):
        probability = (1 - rate) * np.append(probability, 0.0) + rate * np.append(0.0, probability)
    k = np.arange(draws + 1)
    average = (k * high + (draws - k) * low) / draws
    return np.log(rate * high + (1 - rate) * low) - probability @ np.log(average)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "03-4-check", "points": 3, "schema_version": 3}
check("03.4", jensen_gap)
### BEGIN HIDDEN TESTS
assert check("03.4", jensen_gap).right
### END HIDDEN TESTS

# %%
# hint("03.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
