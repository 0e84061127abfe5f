# %% [markdown]
# # Exercises 10: how good is the bound?
#
# A bound that survives small weights, the two parts of a gap, a chain that climbs to $\log p(x)$, and the density of a
# flow. `check` says within a second or two whether the answer is right, and if not, what it looks like. `hint("10.1")` gives a hint, three in all.
#
# After a wrong answer, `case("10.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [10_bounds.ipynb](../notebooks/10_bounds.ipynb).

# %% tags=["setup"]
import numpy as np
import torch

from vaelib import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 10.1 A bound that survives small weights
#
# *Warm-up, 7 minutes.* For each of $B$ examples there are $K$ log-weights $\log w_k=\log p(x,z_k)-\log q(z_k)$, in nats, in
# single precision: a row for each sample, a column for each example. Write, in PyTorch,
#
# $$\hat{\mathcal{L}}_K=\log\tfrac1K\sum_{k=1}^K w_k,$$
#
# one number for each example. Some log-weights are near $-900$, as they are for images. Return a tensor.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "10-1", "schema_version": 3}
def weighted_bound(log_weights):
    """The bound with K weights, for each example.

    Args:
        log_weights: a float32 tensor of shape (K, B), in nats.

    Returns:
        a tensor of shape (B,), in nats.
    """
    ### BEGIN SOLUTION
    largest = log_weights.max(dim=0).values  # (B,)
    return largest + (log_weights - largest).exp().mean(dim=0).log()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "10-1-check", "points": 1, "schema_version": 3}
check("10.1", weighted_bound)
### BEGIN HIDDEN TESTS
assert check("10.1", weighted_bound).right
### END HIDDEN TESTS

# %%
# hint("10.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 10.2 Whose fault is the gap?
#
# *Core, 12 minutes.* In a linear-Gaussian model the posterior of one $x$ is $p(z\mid x)=N(m,\Sigma)$, with correlations. The
# encoder gives $q=N(\mu,\mathrm{diag}(\sigma^2))$ for this $x$. Split $\log p(x)-\mathcal{L}(q)$ into two, in nats:
#
# - **approximation**: what the best Gaussian with independent coordinates still loses, for this $x$;
# - **amortization**: what the encoder's $q$ loses in addition.
#
# Which is the best $q$? You may call `kl_divergence(q, p)`. `DiagonalNormal(loc, scale)` takes standard deviations,
# `MultivariateNormal(loc, covariance)` a covariance matrix.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "10-2", "schema_version": 3}
def two_gaps(mean, covariance, loc, scale):
    """Approximation gap and amortization gap of q = N(loc, diag(scale^2)), posterior N(mean, covariance).

    Args:
        mean, loc, scale: arrays of shape (k,); scale holds standard deviations, > 0.
        covariance: an array of shape (k, k).

    Returns:
        an array of shape (2,): approximation, amortization; in nats.
    """
    ### BEGIN SOLUTION
    posterior = MultivariateNormal(mean, covariance)
    variances = 1 / np.diag(np.linalg.inv(covariance))  # of each coordinate, given the others
    best = DiagonalNormal(mean, np.sqrt(variances))
    approximation = kl_divergence(best, posterior)
    return np.array([approximation, kl_divergence(DiagonalNormal(loc, scale), posterior) - approximation])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "10-2-check", "points": 2, "schema_version": 3}
check("10.2", two_gaps)
### BEGIN HIDDEN TESTS
assert check("10.2", two_gaps).right
### END HIDDEN TESTS

# %%
# hint("10.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 10.3 Weigh, then move
#
# *Stretch, 20 minutes.* The toy: $z\sim N(0,1)$, $x\mid z\sim N(2z,\tfrac12)$ (a variance), $x=1$. Start at a draw from
# $q=N(\mu,\sigma^2)$ and walk through $f_b(z)=q(z)^{1-b}\,p(x,z)^b$ for $b=0,\tfrac1T,\tfrac2T,\ldots,1$. Each step, from one $b$ to the
# next, has two parts:
#
# 1. weigh: add $\log f_{\mathrm{next}}(z)-\log f_b(z)$ where the chain is now;
# 2. move. Here the best of all moves is possible: $f_{\mathrm{next}}$ is a Gaussian up to a factor, so draw the new $z$ from it,
#    independently of the old one.
#
# Return $\log w$ of one chain. If you draw $z$ in the order of the walk, with `rng.normal` or `rng.standard_normal`, the
# check compares yours draw by draw with a right one. If you draw in another way, it looks at 3,000 values in each of two
# cases, and finds, with 99 % probability, a mean that is off by 0.13 standard deviations, or a deviation that is 17 %
# too large.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "10-3", "schema_version": 3}
def annealed_log_weight(loc, scale, steps, rng):
    """log w of one annealed chain from q = N(loc, scale^2) to the posterior of the toy.

    Args:
        loc, scale: floats; scale is a standard deviation, > 0.
        steps: T, a whole number, at least 1.
        rng: a NumPy Generator; one draw is rng.normal(mean, standard_deviation).

    Returns:
        a float, in nats.
    """
    ### BEGIN SOLUTION
    z, log_w = rng.normal(loc, scale), 0.0
    for b in np.arange(1, steps + 1) / steps:
        log_joint = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - (1 - 2 * z) ** 2 - 0.5 * np.log(np.pi)
        log_q = -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
        log_w += (log_joint - log_q) / steps
        precision = (1 - b) / scale**2 + 9 * b
        z = rng.normal(((1 - b) * loc / scale**2 + 4 * b) / precision, precision**-0.5)
    return log_w
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "10-3-check", "points": 3, "schema_version": 3}
check("10.3", annealed_log_weight)
### BEGIN HIDDEN TESTS
assert check("10.3", annealed_log_weight).right
### END HIDDEN TESTS

# %%
# hint("10.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 10.4 The density of a flow
#
# *Core, 12 minutes.* A Gaussian cannot follow a bent posterior; a *planar flow* bends it. Draw $u\sim N(0,I)$ in $k$
# dimensions and push it along a direction $a$, by an amount that depends on where $u$ lies across a plane:
#
# $$z=u+a\tanh(w^\top u+b),\qquad w^\top a>-1 .$$
#
# For the bound you need $\log q(z)$ at each draw. What happens to a small cube around $u$? A rule that helps:
# $\det(I+a\,v^\top)=1+v^\top a$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "10-4", "schema_version": 3}
def flow_log_density(u, direction, weights, bias):
    """log q(z) at z = u + direction * tanh(weights @ u + bias), for each draw u from N(0, I).

    Args:
        u: an array of shape (S, k), the draws.
        direction, weights: arrays a and w of shape (k,).
        bias: a float b.

    Returns:
        an array of shape (S,), in nats.
    """
    ### BEGIN SOLUTION
    slope = 1 - np.tanh(u @ weights + bias) ** 2  # (S,)
    log_det = np.log(1 + (weights @ direction) * slope)
    log_of_noise = -0.5 * np.sum(u**2, axis=1) - 0.5 * u.shape[1] * np.log(2 * np.pi)
    return log_of_noise - log_det
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "10-4-check", "points": 2, "schema_version": 3}
check("10.4", flow_log_density)
### BEGIN HIDDEN TESTS
assert check("10.4", flow_log_density).right
### END HIDDEN TESTS

# %%
# hint("10.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
