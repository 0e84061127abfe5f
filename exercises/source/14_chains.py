# %% [markdown]
# # Exercises 14: chains of latents
#
# One step back, its weight in the bound, and a denoiser that nobody trained. `check` says within seconds whether an answer
# is right, and if not, what it looks like; `hint("14.1")` gives a hint, three in all.
#
# The chain is $x_t=\sqrt{\alpha_t}\,x_{t-1}+\sqrt{1-\alpha_t}\,\varepsilon_t$, and $\bar\alpha_t$ is the product of
# $\alpha_1$ to $\alpha_t$. After a wrong answer, `case("14.1")` returns the arguments with which your function failed. A
# ready-made function that already computes what is asked does not count as an answer.
#
# Notebook: [14_chains.ipynb](../notebooks/14_chains.ipynb).

# %% tags=["setup"]
import numpy as np

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 14.1 One step back, if both ends are known
#
# *Core, 12 minutes.* You know where the chain began, $x_0$, and where it is after step $t$, $x_t$. Where was it one step
# before? Write mean and variance of $q(x_{t-1} \mid x_t, x_0)$. The steps before have kept $\bar\alpha_{t-1}$ of the
# variance, the last step $\alpha_t$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "14-1", "schema_version": 3}
def step_back(x_t, x_0, alpha, before):
    """Mean and variance of q(x_{t-1} | x_t, x_0).

    Args:
        x_t, x_0: numbers
        alpha: alpha_t, between 0 and 1
        before: the product of the alphas before step t, between 0 and 1

    Returns:
        an array of two numbers: the mean and the variance
    """
    ### BEGIN SOLUTION
    precision = alpha / (1 - alpha) + 1 / (1 - before)
    pull = np.sqrt(alpha) * x_t / (1 - alpha) + np.sqrt(before) * x_0 / (1 - before)
    return np.array([pull / precision, 1 / precision])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "14-1-check", "points": 2, "schema_version": 3}
check("14.1", step_back)
### BEGIN HIDDEN TESTS
assert check("14.1", step_back).right
### END HIDDEN TESTS

# %%
# hint("14.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 14.2 What an error in the noise weighs in the bound
#
# *Core, 12 minutes.* A network guesses the noise $\hat\varepsilon$ in $x_t$, and from it $\hat x_0$; then
# $p(x_{t-1} \mid x_t)$ is $q(x_{t-1} \mid x_t, \hat x_0)$. On paper, bring the KL of this step to the form
#
# $$\mathrm{KL}\left(q(x_{t-1} \mid x_t, x_0) \,\Vert\, p(x_{t-1} \mid x_t)\right) = w\,\|\varepsilon-\hat\varepsilon\|^2.$$
#
# Answer with $w$, for $t > 1$: a function, or LaTeX in $\alpha_t$, $\bar\alpha_{t-1}$ and $\bar\alpha_t$, such as
# `r"\frac{1 - \alpha_t}{\bar\alpha_{t-1}}"`, which is wrong; $\beta_t$ is read as $1-\alpha_t$.
#
# *For yourself:* which steps weigh most, and what changes if every weight is set to one?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "14-2", "schema_version": 3}
def noise_weight(alpha, before):
    """The weight of a squared error in the noise, in nats.

    Args:
        alpha: alpha_t, between 0 and 1
        before: the product of the alphas before step t, between 0 and 1

    Returns:
        a number
    """
    ### BEGIN SOLUTION
    kept = alpha * before
    ratio_before, ratio = before / (1 - before), kept / (1 - kept)
    return (ratio_before - ratio) / 2 / ratio
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "14-2-check", "points": 2, "schema_version": 3}
check("14.2", noise_weight)
### BEGIN HIDDEN TESTS
assert check("14.2", noise_weight).right
### END HIDDEN TESTS

# %%
# hint("14.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 14.3 A denoiser without a network
#
# *Stretch, 16 minutes.* The data $x_0$ are numbers from a mixture of Gaussians that you know. Write the best denoiser,
# $\mathbb{E}[x_0 \mid x_t]$, for a whole array of noisy numbers: by Bayes' rule, part by part, or by Tweedie's formula.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "14-3", "schema_version": 3}
def denoise(x_t, kept, weights, locs, scales):
    """E[x_0 | x_t], if x_0 comes from a mixture of Gaussians.

    Args:
        x_t: noisy numbers, shape (B,): sqrt(kept) x_0 + sqrt(1 - kept) noise
        kept: the product of the alphas, between 0 and 1
        weights, locs, scales: of the mixture of x_0, shape (K,); scales are standard deviations

    Returns:
        an array of shape (B,)
    """
    ### BEGIN SOLUTION
    variance = kept * scales**2 + 1 - kept  # of x_t, part by part
    gap = x_t[:, None] - np.sqrt(kept) * locs  # (B, K)
    density = weights * np.exp(-(gap**2) / (2 * variance)) / np.sqrt(variance)
    score = (density * -gap / variance).sum(axis=1) / density.sum(axis=1)
    return (x_t + (1 - kept) * score) / np.sqrt(kept)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "14-3-check", "points": 3, "schema_version": 3}
check("14.3", denoise)
### BEGIN HIDDEN TESTS
assert check("14.3", denoise).right
### END HIDDEN TESTS

# %%
# hint("14.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
