# %% [markdown]
# # Exercises 00: a verdict, an error bar, a rule
#
# A first round with `check`: it says within seconds whether an answer is right, and if not, what it looks like.
# `hint("00.1")` gives a hint, three in all. Nothing here is graded until you hand it in.
#
# After a wrong answer, `case("00.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [00_start.ipynb](../notebooks/00_start.ipynb).

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 00.1 Which estimate is broken?
#
# *Warm-up, 4 minutes.* Five programs, A to E, estimated the same number by random draws. Its true value is 0, the dashed
# line. The bars are one standard error to each side. Four programs are fine; one has a bug. Which one would a check
# reject that allows a z-score of up to 4.5? Answer with a letter.

# %%
# Picture: five estimates of the same number
estimates = {"A": (0.09, 0.08), "B": (0.62, 0.27), "C": (-0.3, 0.1), "D": (0.36, 0.05), "E": (-0.02, 0.03)}
fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for place, (value, bar) in enumerate(estimates.values()):
    ax.errorbar(place, value, bar, fmt="ko", ms=3, capsize=6)
ax.axhline(0, ls="--", color="grey")
ax.text(4.45, 0.03, "truth", ha="right", color="grey")
ax.set_xticks(range(5), estimates)
ax.set(xlim=(-0.5, 4.5), ylim=(-0.5, 1), yticks=np.arange(-0.4, 1.01, 0.2), xlabel="program", ylabel="estimate")
ax.grid(axis="y", alpha=0.3)
plt.show()

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "00-1", "schema_version": 3}
broken = ...  # a letter, such as "A"
### BEGIN SOLUTION
broken = "D"
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "00-1-check", "points": 1, "schema_version": 3}
check("00.1", broken)
### BEGIN HIDDEN TESTS
assert check("00.1", broken).right
### END HIDDEN TESTS

# %%
# hint("00.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 00.2 A test set's log-likelihood, with its error bar
#
# *Core, 10 minutes.* A model was given $N$ test images of $d$ pixels. For pixel $j$ of image $i$ it gave the value that
# is really there the probability $p_{ij}$, knowing the pixels before it. So
#
# $$p(x_i)=\prod_{j=1}^{d}p_{ij}.$$
#
# Papers print a number such as "$-812.4 \pm 3.1$ nats per image": the mean of $\log p(x_i)$ over the images, and its
# standard error, with $N-1$ below the variance. Compute both. With a few hundred pixels the product is smaller than any number of your computer.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "00-2", "schema_version": 3}
def mean_and_bar(probabilities):
    """Mean log-likelihood of an image, and its standard error, both in nats.

    Args:
        probabilities: array of shape (N, d), entry [i, j] for pixel j of image i; in (0, 1], N >= 2

    Returns:
        an array of shape (2,): the mean over the N images, and the standard error of this mean
    """
    ### BEGIN SOLUTION
    scores = np.log(probabilities).sum(axis=1)  # log p(x_i), shape (N,)
    return np.array([scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores))])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "00-2-check", "points": 2, "schema_version": 3}
check("00.2", mean_and_bar)
### BEGIN HIDDEN TESTS
assert check("00.2", mean_and_bar).right
### END HIDDEN TESTS

# %%
# hint("00.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 00.3 Three nodes, found by hand
#
# *Stretch, 15 minutes.* For $u \sim N(0,1)$, look for three nodes $u_i$ and weights $w_i$ with
# $\mathbb{E}[f(u)]=\sum_i w_i f(u_i)$ for every polynomial $f$ of degree up to 5. Find them on paper, without a library's
# Gauss-Hermite rule: the moments are $\mathbb{E}[1]=1$, $\mathbb{E}[u^2]=1$, $\mathbb{E}[u^4]=3$, and odd ones are 0. Then carry them over
# to $x \sim N(\mu,\sigma^2)$, so that $\mathbb{E}[f(x)]=\sum_i w_i f(x_i)$.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "00-3", "schema_version": 3}
def three_nodes(loc, scale):
    """The rule of three nodes for a mean under N(loc, scale^2).

    Args:
        loc: mean, a float. scale: standard deviation, a float > 0.

    Returns:
        an array of shape (2, 3): the nodes in ascending order; below them their weights
    """
    ### BEGIN SOLUTION
    nodes = np.array([-np.sqrt(3), 0, np.sqrt(3)])  # 2 w a^2 = 1 and 2 w a^4 = 3
    weights = np.array([1, 4, 1]) / 6
    return np.array([loc + scale * nodes, weights])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "00-3-check", "points": 3, "schema_version": 3}
check("00.3", three_nodes)
### BEGIN HIDDEN TESTS
assert check("00.3", three_nodes).right
### END HIDDEN TESTS

# %%
# hint("00.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
