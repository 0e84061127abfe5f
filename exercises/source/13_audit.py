# %% [markdown]
# # Exercises 13: the audit
#
# Three suspects: a table, a function, and a formula that is right on paper. `check` tells you within seconds;
# `hint("13.2")` gives a hint, three in all.
#
# After a wrong answer, `case("13.2")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [13_audit.ipynb](../notebooks/13_audit.ipynb).

# %% tags=["setup"]
import math

import torch

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 13.1 One number is wrong
#
# *Warm-up, 6 minutes.* A VAE for 784 binary pixels reports, per image:
#
# | row | | |
# |--:|:--|:--|
# | 1 | $\mathbb{E}_q[\log p(x \mid z)]$, nats | -88.42 |
# | 2 | KL of each latent, nats | 4.6, 4.1, 3.7, 3.2, 2.9, 2.4, 0.7, 0.0 |
# | 3 | ELBO, nats | -91.12 |
# | 4 | importance-weighted bound, 500 samples, nats | -106.35 |
# | 5 | bits per pixel, from row 4 | 0.1957 |
#
# One row cannot be right. Which bug made it? Answer with one of these words:
#
# - `pixels`, `latents`: they were averaged, not summed
# - `sign`: the KL was added
# - `weights`: the mean of their logarithms was taken
# - `units`: nats were called bits
# - `collapse`: a latent says nothing

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "13-1", "schema_version": 3}
bug = ...  # one of the six words, such as "pixels"
### BEGIN SOLUTION
bug = "latents"
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "13-1-check", "points": 1, "schema_version": 3}
check("13.1", bug)
### BEGIN HIDDEN TESTS
assert check("13.1", bug).right
### END HIDDEN TESTS

# %%
# hint("13.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 13.2 Three bugs in an evaluation
#
# *Core, 14 minutes.* The code below should give, for each image, the importance-weighted bound
#
# $$\log \frac1K \sum_{k=1}^K \frac{p(x \mid z_k)\,p(z_k)}{q(z_k)}, \qquad z_k \sim q = N(\mathtt{loc}, \mathrm{diag}\,e^{\mathtt{log\_var}}), \quad p(z)=N(0,I).$$
#
# It has five lines. Three hold a bug each, two are right. Find them, and write the function as it should be. It must
# hold for large images, too, whose `log_lik` is near -900. Use no bound of the package.


# %%
# as it was found, to be tried out
def bound_as_found(log_lik, z, loc, log_var):
    scale = log_var.exp()
    log_prior = -0.5 * (z**2).sum(-1)
    log_q = -0.5 * (((z - loc) / scale) ** 2).sum(-1) - scale.log().mean(-1)
    log_weights = log_lik + log_prior - log_q
    return log_weights.exp().mean(0).log()


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "13-2", "schema_version": 3}
def bound(log_lik, z, loc, log_var):
    """The importance-weighted bound on log p(x), in nats, for each image.

    Args:
        log_lik: a tensor of shape (K, B), log p(x | z_k)
        z: a tensor of shape (K, B, latents)
        loc, log_var: tensors of shape (B, latents); log_var is the logarithm of the variance

    Returns:
        a tensor of shape (B,)
    """
    ### BEGIN SOLUTION
    log_scale = 0.5 * log_var
    log_prior = -0.5 * (z**2).sum(-1)  # log(2 pi) / 2 cancels with that of log_q
    log_q = (-0.5 * ((z - loc) / log_scale.exp()) ** 2 - log_scale).sum(-1)
    log_weights = log_lik + log_prior - log_q
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "13-2-check", "points": 2, "schema_version": 3}
check("13.2", bound)
### BEGIN HIDDEN TESTS
assert check("13.2", bound).right
### END HIDDEN TESTS

# %%
# hint("13.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 13.3 A KL of a few nanonats
#
# *Core, 8 minutes.* Of a latent that says nearly nothing, mean and log-variance are about $10^{-4}$, and its KL to
# $N(0,1)$ is a few *nanonats*, $10^{-9}$ nats. This line is right on paper, and returns anything but that:
#
# `-0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(-1)`
#
# The tensors come in single precision, from quiet latents and from ordinary ones. Write a function that is right for
# both, without a ready-made KL. In single precision it must agree to 2 %.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "13-3", "schema_version": 3}
def kl_nanonats(mean, log_var):
    """KL(q || N(0, I)) in nanonats (nats times 1e9), for each image; q = N(mean, diag exp(log_var)).

    Args:
        mean, log_var: float32 tensors of shape (B, latents)

    Returns:
        a tensor of shape (B,)
    """
    ### BEGIN SOLUTION
    from_the_mean = 0.5 * mean**2
    from_the_scale = 0.5 * (torch.expm1(log_var) - log_var)  # the 1 is never added
    return 1e9 * (from_the_mean + from_the_scale).sum(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "13-3-check", "points": 2, "schema_version": 3}
check("13.3", kl_nanonats)
### BEGIN HIDDEN TESTS
assert check("13.3", kl_nanonats).right
### END HIDDEN TESTS

# %%
# hint("13.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
