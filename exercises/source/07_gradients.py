# %% [markdown]
# # Exercises 07: gradients of expectations
#
# One on paper, one as a function of the noise, one where you choose an estimator and defend it with its variance.
# `check` says within seconds whether the answer is right, and if not, what it looks like. `hint("07.1")` gives a hint,
# three in all.
#
# After a wrong answer, `case("07.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [07_gradients.ipynb](../notebooks/07_gradients.ipynb).

# %% tags=["setup"]
import numpy as np
import sympy
from scipy.special import ndtr  # ndtr(u) = P(noise < u), the standard normal distribution function

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 07.1 What a straight line costs
#
# *Warm-up, 8 minutes.* Take $f(z)=z$ and $q=N(\mu,\sigma^2)$, so that $\mathbb{E}_q[f]=\mu$ and its gradient in $\mu$ is $1$.
# Pathwise, every sample says exactly $1$: no noise at all. Now weigh the sample instead, with a baseline $b$, a fixed number:
#
# $$g=(f(z)-b)\,\partial_\mu\log q(z).$$
#
# Hand over the variance of $g$ from one sample, as a SymPy expression in `mu`, `sigma` (a standard deviation) and `b`.
#
# *For yourself:* show first that the mean of $g$ is $1$ for every $b$. And afterwards: which $b$ is best, and what variance
# is left then?

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "07-1", "schema_version": 3}
mu, sigma, b = sympy.symbols("mu sigma b", real=True)
variance = ...  # an expression in mu, sigma and b
### BEGIN SOLUTION
# E[(z - b)^2 eps^2] = (mu - b)^2 + 3 sigma^2; divide by sigma^2, and subtract the square of the mean
variance = (mu - b) ** 2 / sigma**2 + 3 - 1
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "07-1-check", "points": 1, "schema_version": 3}
check("07.1", variance)
### BEGIN HIDDEN TESTS
assert check("07.1", variance).right
### END HIDDEN TESTS

# %%
# hint("07.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 07.2 Two gradients from one noise
#
# *Core, 12 minutes.* Let $f(z)=\sin(\omega z)$ and $z=\mu+\sigma\varepsilon$ with $\varepsilon\sim N(0,1)$. Write both gradients of
# $\mathbb{E}_q[f(z)]$ as functions of the noise, in $\mu$ and in $\sigma$ (not its logarithm), one for each $\varepsilon$. Use formulas of your
# own, in NumPy; average nothing.
#
# | row | estimator | gradient in |
# |--:|:--|:--|
# | 0 | pathwise | $\mu$ |
# | 1 | pathwise | $\sigma$ |
# | 2 | score function, no baseline | $\mu$ |
# | 3 | score function, no baseline | $\sigma$ |


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "07-2", "schema_version": 3}
def gradients(loc, scale, frequency, noise):
    """Two estimators of the gradient of E[sin(frequency z)], z ~ N(loc, scale^2), for each noise.

    Args:
        loc, scale, frequency: floats; scale is a standard deviation, > 0.
        noise: an array of shape (n,), standard normal.

    Returns:
        an array of shape (4, n): rows as in the table.
    """
    ### BEGIN SOLUTION
    z = loc + scale * noise
    value, slope = np.sin(frequency * z), frequency * np.cos(frequency * z)
    by_loc, by_scale = noise / scale, (noise**2 - 1) / scale  # of log q(z), at fixed z
    return np.stack([slope, slope * noise, value * by_loc, value * by_scale])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "07-2-check", "points": 2, "schema_version": 3}
check("07.2", gradients)
### BEGIN HIDDEN TESTS
assert check("07.2", gradients).right
### END HIDDEN TESTS

# %%
# hint("07.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 07.3 Where f jumps: choose, and defend the choice
#
# *Stretch, 20 minutes.* Let $f(z)=1$ for $z>0$, else $0$, and $q=N(\mu,\sigma^2)$. You want the gradient of $P(z>0)$ in $\mu$ from
# **one** draw of $z$.
#
# Choose pathwise or score function. If a baseline helps, choose the number $b$ with the smallest variance; it may depend on
# $\mu$ and $\sigma$, not on the draw. Derive $b$ on paper: it has a closed form in $\Phi$ (here `ndtr`) and the normal density.
#
# The mean must be right, and the standard deviation the smallest that a number $b$ allows. That is your defense. With one
# `rng.standard_normal()` a call, the check compares yours draw by draw with a right one. If you draw in another way, it
# looks at 5,000 values in each of two cases, and finds, with 99 % probability, a mean that is off by 0.1 standard
# deviations, or a deviation that is 10 % too large.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "07-3", "schema_version": 3}
def jump_gradient(loc, scale, rng):
    """One unbiased estimate of the gradient of P(z > 0) in loc, z ~ N(loc, scale^2).

    Args:
        loc, scale: floats; scale is a standard deviation, > 0.
        rng: a NumPy Generator; draw one noise from it, rng.standard_normal().

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    # b* = E[f s^2] / E[s^2] with s = noise / scale: the mean of noise^2 over the noises above -a
    a = loc / scale
    best = ndtr(a) - a * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi)
    noise = rng.standard_normal()
    jump = float(loc + scale * noise > 0)
    return (jump - best) * noise / scale
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "07-3-check", "points": 3, "schema_version": 3}
check("07.3", jump_gradient)
### BEGIN HIDDEN TESTS
assert check("07.3", jump_gradient).right
### END HIDDEN TESTS

# %%
# hint("07.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
