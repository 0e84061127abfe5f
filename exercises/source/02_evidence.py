# %% [markdown]
# # Exercises 02: the evidence is hard
#
# Tiny numbers, an estimate, and its price. `check` says within seconds whether an answer is right, and if not, what it
# looks like. `hint("02.1")` gives a hint, three in all. Nothing here is graded until you hand it in.
#
# After a wrong answer, `case("02.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [02_evidence.ipynb](../notebooks/02_evidence.ipynb).

# %% tags=["setup"]
import numpy as np

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 02.1 The logarithm of a mean of tiny numbers
#
# *Warm-up, 6 minutes.* For $B$ examples and $S$ samples each, the table `scores` holds the logarithms
# $a_{sb}$ of weights that may be far too small for a computer, or too large. Write, for each example, in nats,
#
# $$\log\frac1S\sum_{s=1}^{S}e^{a_{sb}}.$$
#
# NumPy is enough: write it out.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "02-1", "schema_version": 3}
def log_mean_exp(scores):
    """Logarithm of the mean over samples of exp(scores), one for each example.

    Args:
        scores: array of shape (S, B), in nats; finite, of any size

    Returns:
        an array of shape (B,), in nats
    """
    ### BEGIN SOLUTION
    largest = scores.max(axis=0)
    return largest + np.log(np.mean(np.exp(scores - largest), axis=0))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "02-1-check", "points": 1, "schema_version": 3}
check("02.1", log_mean_exp)
### BEGIN HIDDEN TESTS
assert check("02.1", log_mean_exp).right
### END HIDDEN TESTS

# %%
# hint("02.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 02.2 An estimate of the evidence
#
# *Core, 12 minutes.* The toy: $z \sim N(0,1)$, and $x \mid z \sim N(2z,\tfrac12)$, where $\tfrac12$ is the *variance*.
# Estimate $p(x)$, not its logarithm: take $S$ independent draws from the proposal $q=N(m,s^2)$, and average their
# weights.
#
# Draw with `rng.standard_normal` or `rng.normal`, and the check compares yours draw by draw with a right one, in two
# cases. If you draw in another way, it compares mean *and* spread of 2,000 values with the exact ones. It then finds,
# with 99 % probability, a mean that is off by 0.16 standard deviations, or a deviation that is 12 % too large.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "02-2", "schema_version": 3}
def estimate_evidence(x, loc, scale, num_samples, rng):
    """One estimate of p(x) by importance sampling.

    Args:
        x: the observation, a float.
        loc, scale: mean m and standard deviation s of the proposal q, floats.
        num_samples: S, an int.
        rng: a NumPy Generator; all randomness comes from it.

    Returns:
        a float: an estimate of p(x)
    """
    ### BEGIN SOLUTION
    z = loc + scale * rng.standard_normal(num_samples)

    def density(value, mean, variance):
        return np.exp(-((value - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    return np.mean(density(x, 2 * z, 0.5) * density(z, 0, 1) / density(z, loc, scale**2))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "02-2-check", "points": 2, "schema_version": 3}
check("02.2", estimate_evidence)
### BEGIN HIDDEN TESTS
assert check("02.2", estimate_evidence).right
### END HIDDEN TESTS

# %%
# hint("02.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 02.3 Signal to noise, and when samples do not help
#
# *Stretch, 30 minutes.* The posterior is $p=N(m_p,\Sigma_p)$, with correlations. The proposal comes from an encoder, so
# its covariance is diagonal: $q=N(m_q,\mathrm{diag}(s_q^2))$. Each weight $p/q$ has mean 1 under $q$ and second moment
# $\rho=\int p^2/q\,dz$. Let $\sigma_S$ be the standard deviation of the mean of $S$ independent weights.
#
# Return the signal-to-noise ratio $1/\sigma_S$: with 10, $\log p(x)$ is off by about a tenth of a nat. Where the variance
# is infinite, no $S$ helps: return 0. Predict where that is, from $\Sigma_p$ and $s_q$. The notebook has one dimension;
# complete the square in $k$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "02-3", "schema_version": 3}
def signal_to_noise(loc_p, covariance_p, loc_q, scale_q, num_samples):
    """One over the standard deviation of the mean of S weights p/q, z ~ q; 0 where it is infinite.

    Args:
        loc_p, covariance_p: mean and covariance of the posterior, arrays of shape (k,) and (k, k).
        loc_q, scale_q: means and standard deviations of the proposal, arrays of shape (k,).
        num_samples: S, an int.

    Returns:
        a float >= 0
    """
    ### BEGIN SOLUTION
    covariance_q = np.diag(scale_q**2)
    room, gap = 2 * covariance_q - covariance_p, loc_p - loc_q  # rho is finite if room is positive definite
    if np.linalg.eigvalsh(room).min() <= 0:
        return 0.0
    log_det_q, log_det_p, log_det_room = (np.linalg.slogdet(m)[1] for m in (covariance_q, covariance_p, room))
    log_rho = log_det_q - (log_det_p + log_det_room) / 2 + gap @ np.linalg.solve(room, gap)
    return np.sqrt(num_samples / (np.exp(log_rho) - 1))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "02-3-check", "points": 3, "schema_version": 3}
check("02.3", signal_to_noise)
### BEGIN HIDDEN TESTS
assert check("02.3", signal_to_noise).right
### END HIDDEN TESTS

# %%
# hint("02.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
