# %% [markdown]
# # Exercises 08: the linear VAE
#
# Predict what training will do before anything is trained. `check` says within seconds whether an answer is right, and
# if not, what it looks like; `hint("08.1")` gives a hint, three in all. The letter $c$ is a noise *variance* throughout.
#
# After a wrong answer, `case("08.1")` returns the arguments with which your function failed. A ready-made
# function that already computes what is asked does not count as an answer.
#
# Notebook: [08_linear_vae.ipynb](../notebooks/08_linear_vae.ipynb).

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import sympy

from vaelib.exercise import case, check, hint, progress

# %% [markdown]
# ## 08.1 Before training starts
#
# *Warm-up, 5 minutes.* The picture shows the eigenvalues of a sample covariance, all multiples of one half. A linear VAE
# with three latents will be trained on these data; $\beta=1$, and the noise variance $c$ is trained, too. Read the
# picture, and predict $c$ and the squared lengths of the three columns of $W$, largest first.

# %%
# Picture: the eigenvalues of a sample covariance
fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.bar(range(1, 8), [7, 4.5, 3, 2, 1.5, 1, 0.5], color="lightgrey", edgecolor="black")
ax.set(xlabel="direction $j$", ylabel=r"eigenvalue $\lambda_j$", yticks=range(9), xlim=(0.4, 7.6), ylim=(0, 8))
ax.set_yticks(np.arange(0.5, 8), minor=True)
ax.grid(axis="y", which="both", alpha=0.4)
plt.show()

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "08-1", "schema_version": 3}
trained = ...  # a list of four numbers: the noise variance, then three squared lengths
### BEGIN SOLUTION
noise = (2 + 1.5 + 1 + 0.5) / 4  # the mean of the discarded eigenvalues
trained = [noise, 7 - noise, 4.5 - noise, 3 - noise]
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "08-1-check", "points": 1, "schema_version": 3}
check("08.1", trained)
### BEGIN HIDDEN TESTS
assert check("08.1", trained).right
### END HIDDEN TESTS

# %%
# hint("08.1")  # stuck? Remove the first # and run

# %% [markdown]
# ## 08.2 What a wide q costs
#
# *Core, 12 minutes.* The decoder is linear, $x \mid z \sim N(Wz+b,\ cI)$. For each example the encoder gives a mean and, for
# every latent, a standard deviation; the latents are independent under $q$. Write
# $\mathbb{E}_q[\log p(x \mid z)]$ in nats, without sampling and with all constants.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "08-2", "schema_version": 3}
def expected_log_likelihood(x, loc, scale, loading, offset, noise_variance):
    """E_q[log N(x; W z + b, c I)] with q = N(loc, diag(scale^2)), in nats, one for each example.

    Args:
        x: shape (B, d)
        loc, scale: of q, shape (B, k); scale is a standard deviation, > 0
        loading: W, shape (d, k)
        offset: b, shape (d,)
        noise_variance: c > 0, a float

    Returns:
        an array of shape (B,), summed over the d coordinates of x
    """
    ### BEGIN SOLUTION
    residual = x - loc @ loading.T - offset  # (B, d)
    trace = scale**2 @ (loading**2).sum(axis=0)  # tr(W diag(scale^2) W^T)
    square = (residual**2).sum(axis=1) + trace
    return -x.shape[1] / 2 * np.log(2 * np.pi * noise_variance) - square / (2 * noise_variance)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "08-2-check", "points": 2, "schema_version": 3}
check("08.2", expected_log_likelihood)
### BEGIN HIDDEN TESTS
assert check("08.2", expected_log_likelihood).right
### END HIDDEN TESTS

# %%
# hint("08.2")  # stuck? Remove the first # and run

# %% [markdown]
# ## 08.3 Latents that survive a loss
#
# *Core, 10 minutes.* Now $c$ is fixed, and the KL has a weight: a linear VAE maximizes
# $\mathbb{E}_q[\log p(x \mid z)]-\beta\,\mathrm{KL}(q \,\Vert\, p(z))$ on average over the data. The latents of $q$ are
# independent. Predict the optimum from the eigenvalues of the sample covariance: the squared lengths of the columns of $W$,
# and the variance of $q(z_j \mid x)$, also of latents that collapse.


# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "08-3", "schema_version": 3}
def survivors(eigenvalues, latents, noise_variance, beta):
    """What training ends at, for each latent; latent j takes direction j.

    Args:
        eigenvalues: of the sample covariance, largest first, shape (d,)
        latents: k < d, an int
        noise_variance: c > 0, fixed
        beta: weight of the KL, > 0

    Returns:
        an array of shape (2, k): in row 0 the squared lengths of the columns of W, in row 1 the variances of q
    """
    ### BEGIN SOLUTION
    threshold = beta * noise_variance
    total = np.maximum(eigenvalues[:latents], threshold)  # w^2 + beta c
    return np.array([total - threshold, threshold / total])
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "08-3-check", "points": 2, "schema_version": 3}
check("08.3", survivors)
### BEGIN HIDDEN TESTS
assert check("08.3", survivors).right
### END HIDDEN TESTS

# %%
# hint("08.3")  # stuck? Remove the first # and run

# %% [markdown]
# ## 08.4 What a rotation costs
#
# *Stretch, 18 minutes.* Two latents, and the loading of probabilistic PCA, turned by an angle $\alpha$:
#
# $$W=U\begin{pmatrix}\sqrt{\lambda_1-c}&0\\0&\sqrt{\lambda_2-c}\end{pmatrix}R,\qquad R=\begin{pmatrix}\cos\alpha&-\sin\alpha\\\sin\alpha&\cos\alpha\end{pmatrix}$$
#
# Here $U$ has two orthonormal columns and $\lambda_1>\lambda_2>c$. The evidence does not see $R$. The encoder has independent
# latents and is the best of that kind. Find the gap $\log p(x)-\mathcal{L}(x)$ on paper, in nats; it is the same for every
# $x$. Answer with a SymPy expression in the symbols below, or with a function of the four in this order.
#
# *For yourself:* which symbol drops out, and why?

# %% nbgrader={"grade": false, "solution": true, "locked": false, "grade_id": "08-4", "schema_version": 3}
lambda_1, lambda_2, noise_variance, angle = sympy.symbols("lambda_1 lambda_2 noise_variance angle", positive=True)
rotation_gap = ...  # an expression; angle is in radians
### BEGIN SOLUTION
# M = W^T W + c I = R^T diag(lambda) R, and the gap is 1/2 (log M_11 + log M_22 - log|M|); c drops out
cosine, sine = sympy.cos(angle) ** 2, sympy.sin(angle) ** 2
diagonal = (lambda_1 * cosine + lambda_2 * sine) * (lambda_1 * sine + lambda_2 * cosine)
rotation_gap = sympy.log(diagonal / (lambda_1 * lambda_2)) / 2
### END SOLUTION

# %% nbgrader={"grade": true, "solution": false, "locked": true, "grade_id": "08-4-check", "points": 3, "schema_version": 3}
check("08.4", rotation_gap)
### BEGIN HIDDEN TESTS
assert check("08.4", rotation_gap).right
### END HIDDEN TESTS

# %%
# hint("08.4")  # stuck? Remove the first # and run

# %% [markdown]
# ## Where you are

# %%
progress()
