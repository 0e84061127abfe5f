# %% [markdown]
# # Exercises 12: missing and noisy pixels
#
# What is the evidence of half an image, what is under the cover, ink or paper, stay or go, what may a code cost: five answers,
# by hand and in code. `check` says within seconds whether one is right, and if not, what it looks like. `hint("12.1")` gives a hint,
# three in all.
#
# After a wrong answer, `case("12.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [12_missing_pixels.ipynb](../notebooks/12_missing_pixels.ipynb).

# %% tags=["setup"]
import numpy as np
import sympy
from scipy.special import logsumexp

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 12.1 Evidence of what is seen
#
# *Warm-up, 8 minutes.* A decoder knows $K$ templates. Template $z$ has probability $p(z)$, and paints pixel $j$ black
# ($x_j=1$) with probability $\pi_{zj}$, otherwise white ($x_j=0$), each pixel on its own. Of one image only some pixels are seen;
# the mask `seen` is true for those. Elsewhere the file holds a 0, a placeholder.
#
# Which pixels are missing says nothing of their color. Compute $\log p(x_o)$ of the seen pixels, in nats.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "12-1", "schema_version": 3}
def log_seen(pixels, seen, weights, ink):
    """log p(x_o), the log-evidence of the seen pixels.

    Args:
        pixels: array of shape (d,), 1.0 or 0.0; where not seen, 0.0 as a placeholder.
        seen: array of shape (d,), true or false.
        weights: array of shape (K,), p(z).
        ink: array of shape (K, d), the probability that template z paints pixel j black; in (0, 1).

    Returns:
        a float, in nats
    """
    ### BEGIN SOLUTION
    log_each = np.where(pixels == 1, np.log(ink), np.log(1 - ink))  # (K, d)
    return logsumexp(np.log(weights) + log_each[:, seen].sum(axis=1))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "12-1-check", "points": 1, "schema_version": 3}
check("12.1", log_seen)
### BEGIN HIDDEN TESTS
assert check("12.1", log_seen).right
### END HIDDEN TESTS

# %%
# hint("12.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 12.2 What is under the cover
#
# *Core, 15 minutes.* The linear-Gaussian model again, with one change: every pixel has its own noise variance,
#
# $$z \sim N(0, I_k), \qquad x \mid z \sim N\big(Wz+b,\ \operatorname{diag}(c_1, \ldots, c_d)\big).$$
#
# Some pixels are seen, the others covered. Compute the mean and the standard deviation of each covered pixel, given the
# seen ones. `LinearGaussian` has one noise for all, so it will not do; M1 has two routes that both bear the change.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "12-2", "schema_version": 3}
def complete(x, seen, loading, offset, noise_variances):
    """Mean and standard deviation of each covered pixel, under p(x_m | x_o).

    Args:
        x: array of shape (d,); where not seen, 0.0 as a placeholder.
        seen: array of shape (d,), true or false; m of them are false.
        loading: W, array of shape (d, k). offset: b, (d,). noise_variances: c, (d,), > 0.

    Returns:
        an array of shape (2, m): means, and below them standard deviations, in the order of the covered pixels
    """
    ### BEGIN SOLUTION
    covariance = loading @ loading.T + np.diag(noise_variances)  # of x, with z integrated out
    cross = covariance[np.ix_(~seen, seen)]  # (m, d - m)
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], cross.T).T
    mean = offset[~seen] + gain @ (x - offset)[seen]
    variance = np.diag(covariance)[~seen] - (gain * cross).sum(axis=1)
    return np.stack([mean, np.sqrt(variance)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "12-2-check", "points": 2, "schema_version": 3}
check("12.2", complete)
### BEGIN HIDDEN TESTS
assert check("12.2", complete).right
### END HIDDEN TESTS

# %%
# hint("12.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 12.3 Ink or paper
#
# *Core, 15 minutes.* A clean pixel $z$ is ink, $z=a$, with probability $w$, or paper, $z=-a$, with probability $1-w$. It is
# seen through noise: $x=z+\sqrt{c}\,\varepsilon$ with $\varepsilon \sim N(0,1)$, so $c$ is a variance.
#
# On paper: write down $p(x)$, differentiate its logarithm, and use Tweedie's formula (A11). Simplify until one hyperbolic
# function is left. Then check the result against Bayes' rule. The answer is $\mathbb{E}[z \mid x]$ as a SymPy
# expression in `x`, `a`, `c` and `w`.

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "12-3", "schema_version": 3}
x, a, c, w = sympy.symbols("x a c w", real=True)
clean = ...  # an expression in x, a, c and w
### BEGIN SOLUTION
# slopes: c (log p)' = -x + a (A - B) / (A + B), with A = w exp(a x/c) and B = (1 - w) exp(-a x/c)
clean = a * sympy.tanh(a * x / c + sympy.log(w / (1 - w)) / 2)
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "12-3-check", "points": 2, "schema_version": 3}
check("12.3", clean)
### BEGIN HIDDEN TESTS
assert check("12.3", clean).right
### END HIDDEN TESTS

# %%
# hint("12.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 12.4 One Metropolis step
#
# *Stretch, 15 minutes.* $z$ has $K$ states, $x$ is complete and stays as it is. At state $i$, draw $j$ from the encoder
# $q(z \mid x)$; it may be $i$ itself. Accept $j$ with probability $\min(1, r)$, with $r$ from section 5 of the notebook; otherwise stay at $i$.
#
# Write the whole step as a matrix: entry $[i, j]$ is the probability that a chain at $i$ is at $j$ afterwards. The joint
# $p(x, z)$ is given at this $x$, a number for each $z$; its sum $p(x)$ is not 1, and nobody needs it.
#
# *For yourself:* why does nobody need it?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "12-4", "schema_version": 3}
def step_matrix(joint, encoder):
    """The Metropolis step that makes the encoder's proposals exact, as a matrix.

    Args:
        joint: array of shape (K,), p(x, z) for each z, > 0.
        encoder: array of shape (K,), q(z | x), > 0; sums to one.

    Returns:
        an array of shape (K, K): entry [i, j] for the step from i to j
    """
    ### BEGIN SOLUTION
    weight = joint / encoder
    steps = encoder * np.minimum(1, weight[None, :] / weight[:, None])  # proposed and accepted
    rejected = 1 - steps.sum(axis=1)
    return steps + np.diag(rejected)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "12-4-check", "points": 3, "schema_version": 3}
check("12.4", step_matrix)
### BEGIN HIDDEN TESTS
assert check("12.4", step_matrix).right
### END HIDDEN TESTS

# %%
# hint("12.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## 12.5 The bound on what is seen
#
# *Core, 15 minutes.* The model of 12.2 once more, and a code for the covered image: $q(z)=N(m, \operatorname{diag} s^2)$, from
# an encoder that has seen $x_o$. It need not be the posterior. Training on incomplete images maximizes
#
# $$\mathcal{L}(q) = \mathbb{E}_q[\log p(x_o \mid z)] - \mathrm{KL}(q \,\Vert\, N(0, I)),$$
#
# the last line of M4. On paper: what is $\mathbb{E}_q[(x_j - w_j^\top z - b_j)^2]$? Then in code, without any draws.
#
# *For yourself:* cover one pixel more. Which of the two terms changes, if $q$ stays as it is?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "12-5", "schema_version": 3}
def bound_of_seen(x, seen, loading, offset, noise_variances, loc, scale):
    """The bound on log p(x_o) with q = N(loc, diag scale^2), in nats.

    Args:
        x: array of shape (d,); where not seen, 0.0 as a placeholder.
        seen: array of shape (d,), true or false.
        loading: W, array of shape (d, k). offset: b, (d,). noise_variances: c, (d,), > 0.
        loc: means of the code, array of shape (k,). scale: its standard deviations, (k,), > 0.

    Returns:
        a float, in nats
    """
    ### BEGIN SOLUTION
    w, c = loading[seen], noise_variances[seen]
    square = ((x - offset)[seen] - w @ loc) ** 2 + w**2 @ scale**2  # the mean of the squared error under q
    log_likelihood = -0.5 * np.sum(np.log(2 * np.pi * c) + square / c)
    return log_likelihood - 0.5 * np.sum(scale**2 + loc**2 - 1 - 2 * np.log(scale))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "12-5-check", "points": 2, "schema_version": 3}
check("12.5", bound_of_seen)
### BEGIN HIDDEN TESTS
assert check("12.5", bound_of_seen).right
### END HIDDEN TESTS

# %%
# hint("12.5")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
