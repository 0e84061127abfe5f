# %% [markdown]
# # Exercises 06: EM, two half-steps up one bound
#
# The bound is $F(q,\theta)=\mathbb{E}_q[\log p_\theta(x,z)]+\mathrm{H}(q)$. An E step moves $q$, an M step moves $\theta$.
# `check` says within seconds whether an answer is right, and if not, what it looks like; `hint("06.1")` gives a hint.
#
# After a wrong answer, `case("06.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [06_em.ipynb](../notebooks/06_em.ipynb).

# %% tags=["setup"]
import numpy as np

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 06.1 The bound after an E step
#
# *Warm-up, 4 minutes.* A latent variable has $K$ states. At the $x$ that was seen, `joint` holds the $K$ numbers
# $p_\theta(x,z)$. At present $q$ is some distribution over the states. Then comes one E step. Predict the bound
# $F(q,\theta)$ after it, in nats, as a function of both. One of the two is not needed. Which?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "06-1", "schema_version": 3}
def bound_after(joint, q):
    """The bound after one E step, in nats.

    Args:
        joint: p(x, z) at one x, shape (K,)
        q: the distribution over z before the E step, shape (K,)

    Returns:
        a float
    """
    ### BEGIN SOLUTION
    return np.log(joint.sum())  # the new q is the posterior, the gap is closed; the old q is forgotten
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "06-1-check", "points": 1, "schema_version": 3}
check("06.1", bound_after)
### BEGIN HIDDEN TESTS
assert check("06.1", bound_after).right
### END HIDDEN TESTS

# %%
# hint("06.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 06.2 An E step that any q would pass
#
# *Warm-up, 5 minutes.* A lecture note gives line A as "the E step". Here is an argument for EM built on it. One line does
# not follow. Which? Answer with a letter.
#
# | line | claim |
# |:-:|:--|
# | A | ${\log p_\theta(x)=\mathbb{E}_q[\log p_\theta(x)]}$ for every $q$ |
# | B | ${=\mathbb{E}_q[\log p_\theta(x,z)]-\mathbb{E}_q[\log p_\theta(z \mid x)]}$, by Bayes' rule at each $z$ |
# | C | this holds for every $q$, so every $q$ makes the bound touch: $F(q,\theta)=\log p_\theta(x)$ |
# | D | keep $q$; a $\theta'$ with a higher $\mathbb{E}_q[\log p_{\theta'}(x,z)]$ has $F(q,\theta')>F(q,\theta)$ |
# | E | by C and D, $\log p_{\theta'}(x)\ge F(q,\theta')>F(q,\theta)=\log p_\theta(x)$: the evidence rises |

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "06-2", "schema_version": 3}
broken_line = ...  # a letter from "A" to "E"
### BEGIN SOLUTION
broken_line = "C"  # F has -log q(z) where line B has -log p(z | x): they agree for one q, the posterior
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "06-2-check", "points": 1, "schema_version": 3}
check("06.2", broken_line)
### BEGIN HIDDEN TESTS
assert check("06.2", broken_line).right
### END HIDDEN TESTS

# %%
# hint("06.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 06.3 One E step of a mixture
#
# *Core, 10 minutes.* Given are $K$ round clusters in $d$ dimensions, $p(z{=}k)=\pi_k$ and
# $x \mid z{=}k \sim N(\mu_k,\,\sigma_k^2 I)$. Write the responsibilities $r_{ik}=p(z{=}k \mid x_i)$. A cluster may be as
# narrow as $\sigma_k=10^{-3}$: there every density may round to zero, and the answer must still be right.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "06-3", "schema_version": 3}
def e_step(x, weights, loc, scale):
    """Responsibilities of K clusters for N examples.

    Args:
        x: shape (N, d)
        weights: shape (K,), summing to one
        loc: shape (K, d)
        scale: standard deviations > 0, shape (K,)

    Returns:
        an array of shape (N, K), row i for example i
    """
    ### BEGIN SOLUTION
    square = ((x[:, None, :] - loc) ** 2).sum(axis=2)  # (N, K)
    score = np.log(weights) - x.shape[1] * np.log(scale) - square / (2 * scale**2)
    joint = np.exp(score - score.max(axis=1, keepdims=True))  # the largest of each row is 1
    return joint / joint.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "06-3-check", "points": 2, "schema_version": 3}
check("06.3", e_step)
### BEGIN HIDDEN TESTS
assert check("06.3", e_step).right
### END HIDDEN TESTS

# %%
# hint("06.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 06.4 One M step of a mixture
#
# *Core, 12 minutes.* Now $r$ is fixed. Write the $\pi_k$, $\mu_k$ and $\sigma_k^2$ that maximize
# $\sum_{i,k}r_{ik}\log p(x_i,z{=}k)$ for the mixture of 06.3. Every cluster is round: one variance for all $d$ coordinates.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "06-4", "schema_version": 3}
def m_step(x, responsibilities):
    """New parameters of K clusters, given how much of each example belongs to each.

    Args:
        x: shape (N, d)
        responsibilities: shape (N, K), rows summing to one

    Returns:
        an array of shape (K, 1 + d + 1), a row for each cluster: its weight, its mean (d numbers), its variance;
        np.column_stack([weights, loc, variance]) makes it of arrays of shape (K,), (K, d) and (K,)
    """
    ### BEGIN SOLUTION
    mass = responsibilities.sum(axis=0)  # N_k
    loc = responsibilities.T @ x / mass[:, None]
    square = ((x[:, None, :] - loc) ** 2).mean(axis=2)  # (N, K), per coordinate
    variance = (responsibilities * square).sum(axis=0) / mass
    return np.column_stack([mass / len(x), loc, variance])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "06-4-check", "points": 2, "schema_version": 3}
check("06.4", m_step)
### BEGIN HIDDEN TESTS
assert check("06.4", m_step).right
### END HIDDEN TESTS

# %%
# hint("06.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## 06.5 What a search may drop
#
# *Stretch, 15 minutes.* $F(q,\theta)=\log p_\theta(x)-\mathrm{KL}(q \,\Vert\, p_\theta(z \mid x))$. When may the first term be
# dropped? Take $z \sim N(0,1)$, $x \mid z \sim N(\theta+wz,\,c)$, one number $x$, and $q=N(m,s^2)$. Find four highest points.
#
# | search | of $F$ | of $-\mathrm{KL}$ |
# |:--|:--|:--|
# | over $m$ ($\theta,s$ fixed) | best $m$ | best $m$ |
# | over $\theta$ ($m,s$ fixed) | best $\theta$ | best $\theta$ |
#
# *For yourself:* compare the rows. What does each say about dropping $\log p_\theta(x)$? Which $\theta$ does $-\mathrm{KL}$
# prefer right after an E step?


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "06-5", "schema_version": 3}
def tops(x, theta, loc, loading, noise_variance):
    """Where F and -KL are highest, in the search over m and in the search over theta.

    Args:
        x: the observation, a float
        theta: present value of theta, fixed in the search over m
        loc: m, present mean of q, fixed in the search over theta
        loading: w, not 0
        noise_variance: c > 0, a variance

    Returns:
        an array of shape (2, 2): [[m of F, m of -KL], [theta of F, theta of -KL]]
    """
    ### BEGIN SOLUTION
    total = loading**2 + noise_variance  # variance of x
    posterior_mean = loading * (x - theta) / total
    # F over theta: only -E_q[(x - theta - w z)^2] / 2c holds theta. -KL over theta: the posterior mean must be m.
    return np.array([[posterior_mean, posterior_mean], [x - loading * loc, x - total * loc / loading]])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "06-5-check", "points": 3, "schema_version": 3}
check("06.5", tops)
### BEGIN HIDDEN TESTS
assert check("06.5", tops).right
### END HIDDEN TESTS

# %%
# hint("06.5")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
