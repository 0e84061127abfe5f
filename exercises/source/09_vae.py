# %% [markdown]
# # Exercises 09: a real VAE
#
# A loss is right when its units are right: sums, means, nats, bits. `check` tells you within seconds;
# `hint("09.2")` gives a hint, three in all.
#
# After a wrong answer, `case("09.2")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [09_vae.ipynb](../notebooks/09_vae.ipynb).

# %% tags=["setup"]
import math

import torch

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 09.1 Nats of an image, bits of a pixel
#
# *Warm-up, 6 minutes.* Each pixel of an image has one of $L$ levels, $v=0,\dots,L-1$. It was scaled into
# $[0,1]$, so that a level fills a cell of width $1/L$. A model has the density $p(y)$ there, and $-\log p(y)$ is
# known, in nats for the whole image. Take the density to be constant in a cell. How many bits does the model need for
# one pixel?
#
# A negative $-\log p(y)$ is no error: a density may exceed 1.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "09-1", "schema_version": 3}
def bits_per_pixel(nll, pixels, levels):
    """-log2 P(v) / pixels, where P is the probability of the levels.

    Args:
        nll: a float, -log p(y) of one image in nats.
        pixels, levels: integers, how many pixels an image has, and how many levels a pixel.

    Returns:
        a float, bits per pixel
    """
    ### BEGIN SOLUTION
    nats_per_pixel = nll / pixels + math.log(levels)
    return nats_per_pixel / math.log(2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "09-1-check", "points": 1, "schema_version": 3}
check("09.1", bits_per_pixel)
### BEGIN HIDDEN TESTS
assert check("09.1", bits_per_pixel).right
### END HIDDEN TESTS

# %%
# hint("09.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 09.2 The loss of a batch
#
# *Core, 12 minutes.* An encoder gave `loc` and `log_scale`, the logarithm of the *standard deviation*, for each image
# and latent. One $z$ was drawn for each image, and the decoder gave a logit for each pixel. The prior is $N(0,I)$, the
# pixels are 0 or 1. Write what is minimized, $-\log p(x \mid z)+\mathrm{KL}(q \,\Vert\, p(z))$, the KL in closed form:
# summed over pixels and latents, and nothing is averaged.
#
# Some logits are large, as they are in a trained decoder. Write the KL yourself, without a ready-made one;
# torch's own functions of a logit are welcome.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "09-2", "schema_version": 3}
def loss_per_image(x, logits, loc, log_scale):
    """Minus the bound with one sample z, in nats, for each image.

    Args:
        x, logits: tensors of shape (B, pixels); x is 0 or 1
        loc, log_scale: tensors of shape (B, latents)

    Returns:
        a tensor of shape (B,)
    """
    ### BEGIN SOLUTION
    softplus = torch.logaddexp(logits, torch.zeros_like(logits))
    log_likelihood = (x * logits - softplus).sum(-1)
    kl = 0.5 * (torch.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale).sum(-1)
    return kl - log_likelihood
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "09-2-check", "points": 2, "schema_version": 3}
check("09.2", loss_per_image)
### BEGIN HIDDEN TESTS
assert check("09.2", loss_per_image).right
### END HIDDEN TESTS

# %%
# hint("09.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 09.3 The beta of a loss, as found
#
# *Stretch, 15 minutes.* A program trains on batches $B$ of $M$ out of $N$ images. It minimizes
#
# $$\frac NM \sum_{i \in B} \mathrm{MSE}_i + w \sum_{i \in B} \overline{\mathrm{KL}}_i ,$$
#
# where $\mathrm{MSE}_i$ is the squared error, a *mean* over $d$ pixels, and $\overline{\mathrm{KL}}_i$ a *mean* over
# $k$ latents. Its authors say: "a Gaussian decoder of noise variance $c$".
#
# Multiply the loss by a number, so that squared errors cost what they cost in $-\log p(x \mid z)$. What then stands
# before each *summed* KL is the effective beta; 1 would be the bound. Find it on paper. A SymPy expression in the
# names below passes, too.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "09-3", "schema_version": 3}
def effective_beta(pixels, latents, kl_weight, noise_variance, batch_size, num_examples):
    """How often the loss counts the KL of an image, where the bound counts it once.

    Args:
        pixels, latents: integers d and k
        kl_weight, noise_variance: floats w and c
        batch_size, num_examples: integers M and N

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    price_of_error = num_examples / batch_size / pixels
    price_of_kl = kl_weight / latents
    factor = 1 / (2 * noise_variance) / price_of_error
    return factor * price_of_kl
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "09-3-check", "points": 3, "schema_version": 3}
check("09.3", effective_beta)
### BEGIN HIDDEN TESTS
assert check("09.3", effective_beta).right
### END HIDDEN TESTS

# %%
# hint("09.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
