# %% [markdown]
# # Exercises 11: collapse, beta, rate and distortion
#
# A picture to read, a latent to catch, a rate to take apart, a spectrum to drown, two decoders to
# compare. `check` says within seconds whether the
# answer is right, and if not, what it looks like. `hint("11.1")` gives a hint, three in all.
#
# After a wrong answer, `case("11.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [11_rate_distortion.ipynb](../notebooks/11_rate_distortion.ipynb).

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 11.1 Read the plane
#
# *Warm-up, 5 minutes.* Seven groups trained a VAE on data from the same source and report rate and distortion, exact means
# over that source. All numbers are whole. The source's entropy is $H=21$ nats; the dashed line is $D+R=H$.
#
# One report cannot be true. Leave it out, and order the other six by their mean bound on $\log p(x)$, the best first.
# Answer with a word of six letters, such as `"ABCDEF"`.

# %%
# Picture: seven reports in the rate-distortion plane
reports = {"A": (2, 25), "B": (11, 14), "C": (19, 11), "D": (6, 13), "E": (4, 20), "F": (0, 31), "G": (14, 12)}
fig, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
for letter, point in reports.items():
    ax.plot(*point, "ko", ms=5)
    ax.annotate(letter, point, (7, 6) if letter != "D" else (-14, -14), textcoords="offset points", fontsize=12)
ax.plot([0, 21], [21, 0], "--", color="black")
ax.annotate("D + R = H", (17, 4), (6, 4), textcoords="offset points")
ax.set(xlim=(-1, 22), ylim=(0, 33), xlabel="rate R (nats)", ylabel="distortion D (nats)")
ax.set_xticks(range(0, 22, 5))
ax.set_yticks(range(0, 33, 5))
ax.set_xticks(range(22), minor=True)
ax.set_yticks(range(33), minor=True)
ax.grid(which="major", color="0.7")
ax.grid(which="minor", color="0.88")
ax.set_axisbelow(True)
plt.show()

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "11-1", "schema_version": 3}
best_first = ...  # a word of six letters
### BEGIN SOLUTION
best_first = "EBGACF"
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "11-1-check", "points": 1, "schema_version": 3}
check("11.1", best_first)
### BEGIN HIDDEN TESTS
assert check("11.1", best_first).right
### END HIDDEN TESTS

# %%
# hint("11.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 11.2 Who is active?
#
# *Warm-up, 4 minutes.* An encoder gives `loc` and `scale` (standard deviation) of $q(z \mid x_n)=N(\mu_n,\operatorname{diag}\sigma_n^2)$
# for $N$ examples and $k$ latents. A latent is *active* if its posterior mean varies over the examples: variance above
# 0.01. (No case here lies so near 0.01 that $N$ or $N-1$ below the variance would matter.)
#
# Say which latents are active. One of the two tensors will lead you astray.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "11-2", "schema_version": 3}
def active(loc, scale):
    """Which latents are active?

    Args:
        loc, scale: torch tensors of shape (N, k), a row for each example; scale > 0.

    Returns:
        a torch tensor of shape (k,): true (or 1) for an active latent, else false (or 0)
    """
    ### BEGIN SOLUTION
    return loc.var(dim=0, correction=0) > 0.01
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "11-2-check", "points": 1, "schema_version": 3}
check("11.2", active)
### BEGIN HIDDEN TESTS
assert check("11.2", active).right
### END HIDDEN TESTS

# %%
# hint("11.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 11.3 Two prices, and what the rate pays for
#
# *Core, 15 minutes.* Here $x$ and $z$ are discrete, and all laws are tables. Compute four numbers in nats, with
# $\bar q(z)=\sum_x p_\text{data}(x)\,q(z \mid x)$:
#
# | entry | name | |
# |--:|:--|:--|
# | 0 | rate | $\mathbb{E}_x\,\mathrm{KL}(q(z \mid x)\,\Vert\,p(z))$ |
# | 1 | distortion | $-\mathbb{E}_x\,\mathbb{E}_{q(z \mid x)}[\log p(x \mid z)]$ |
# | 2 | information | $I(x; z)$ under $p_\text{data}(x)\,q(z \mid x)$ |
# | 3 | mismatch | $\mathrm{KL}(\bar q\,\Vert\,p)$ |
#
# $\mathbb{E}_x$ is a mean under $p_\text{data}$, which is not uniform. Write the logarithms yourself: a ready-made KL,
# of the package or of torch, is not allowed here.
#
# *For yourself:* which of the four add up, and to what?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "11-3", "schema_version": 3}
def prices(data, encoder, decoder, prior):
    """Rate, distortion, information and mismatch, in nats.

    Args:
        data: torch tensor of shape (M,), the probability of each x.
        encoder: (M, K), entry [x, z] is q(z | x); rows sum to one.
        decoder: (K, M), entry [z, x] is p(x | z); rows sum to one.
        prior: (K,), p(z). No entry of the four is zero.

    Returns:
        a torch tensor of shape (4,): rate, distortion, information, mismatch
    """
    ### BEGIN SOLUTION
    joint = data[:, None] * encoder  # q(x, z), shape (M, K)
    aggregate = joint.sum(dim=0)
    rate = (joint * (encoder / prior).log()).sum()
    distortion = -(joint * decoder.T.log()).sum()
    information = (joint * (encoder / aggregate).log()).sum()
    mismatch = (aggregate * (aggregate / prior).log()).sum()
    return torch.stack([rate, distortion, information, mismatch])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "11-3-check", "points": 2, "schema_version": 3}
check("11.3", prices)
### BEGIN HIDDEN TESTS
assert check("11.3", prices).right
### END HIDDEN TESTS

# %%
# hint("11.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 11.4 What beta drowns
#
# *Stretch, 18 minutes.* A source has variance $\lambda_j$ in direction $j$. The best linear beta-VAE, the minimum of
# $D+\beta R$ over decoder and encoder, has noise variance $c$ (fixed) and prior $N(0, I)$. Each latent serves one direction,
# those with the largest $\lambda_j$, wherever they are in the array, and the best weight has $w_j^2=\max(\lambda_j-\beta c,\,0)$.
#
# Predict, before anybody trains, for each direction (in the order given):
#
# - row 0: the rate of its latent, the mean over $x$ of its KL, in nats;
# - row 1: the variance over $x$ of its posterior mean, which decides who counts as active.
#
# Both are 0 where a direction has no latent, or a collapsed one. Row 1 takes paper: K7 gives the best code.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "11-4", "schema_version": 3}
def predicted(variances, noise_variance, beta, latents):
    """Rate and variance of the posterior mean, for each direction.

    Args:
        variances: array of shape (d,), the lambda_j, all different, in no order.
        noise_variance: c > 0. beta: > 0. latents: how many, a whole number from 1 to d.

    Returns:
        an array of shape (2, d): rates in nats; below them the variances of the posterior means
    """
    ### BEGIN SOLUTION
    level = beta * noise_variance
    smallest = np.sort(variances)[-latents]  # that still gets a latent
    kept = (variances >= smallest) & (variances > level)
    ratio = np.where(kept, level / variances, 1.0)
    # code of a kept direction: mean w (x - b) / lambda, variance level / lambda; the means have variance w^2 / lambda
    return np.stack([-0.5 * np.log(ratio), 1 - ratio])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "11-4-check", "points": 3, "schema_version": 3}
check("11.4", predicted)
### BEGIN HIDDEN TESTS
assert check("11.4", predicted).right
### END HIDDEN TESTS

# %%
# hint("11.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## 11.5 What two decoders pay at least
#
# *Stretch, 15 minutes.* Two pixels and a code, as tables: `data` is $p_\text{data}(x_1, x_2)$, `encoder` is
# $q(z \mid x_1, x_2)$, `prior` is $p(z)$. All three are held fixed, and the decoder alone may be chosen. What is the least
# $D + R$, in nats,
#
# 1. if the decoder may be any $p(x_1 \mid z)\,p(x_2 \mid x_1, z)$,
# 2. if it may be any $p(x_1 \mid z)\,p(x_2 \mid z)$?
#
# *For yourself:* change the encoder so that it says nothing. What happens to each of the two numbers?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "11-5", "schema_version": 3}
def least(data, encoder, prior):
    """The least D + R of a strong and of a weak decoder, in nats.

    Args:
        data: array of shape (M1, M2), all entries > 0, summing to 1.
        encoder: array of shape (M1, M2, K), each encoder[i, j] a law of z.
        prior: array of shape (K,).

    Returns:
        an array of two numbers: for a decoder whose second pixel sees the first, and for one whose does not
    """
    ### BEGIN SOLUTION
    joint = data[..., None] * encoder  # q(x1, x2, z)
    z = joint.sum(axis=(0, 1))
    rate = np.sum(joint * (np.log(encoder) - np.log(prior)))
    one, two = joint.sum(axis=1), joint.sum(axis=0)  # q(x1, z), q(x2, z)
    strong = -np.sum(joint * (np.log(joint) - np.log(z)))
    weak = -np.sum(one * (np.log(one) - np.log(z))) - np.sum(two * (np.log(two) - np.log(z)))
    return np.array([strong, weak]) + rate
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "11-5-check", "points": 3, "schema_version": 3}
check("11.5", least)
### BEGIN HIDDEN TESTS
assert check("11.5", least).right
### END HIDDEN TESTS

# %%
# hint("11.5")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
