"""`vaelib verify` must be able to fail: every planted error in the shipped source makes the real command exit non-zero.

Formulas, estimators, quadrature rules, terms and the checker itself are mutated here. What only *defines* something (a
model's decoder, the range of a witness) cannot be wrong to the ledger: such lines are guarded by oracle tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from forms import some
from mutate import NOT_ONCE, outcome

# fmt: off
# (module, the source as it stands, the error, the chapters or identities that must see it)
FORMULAS = [
    ("kl", "0.5 * (growth * growth + standardized_gap * standardized_gap)", "0.5 * (growth * growth - standardized_gap * standardized_gap)", "E1"),
    ("kl", "return log_excess(growth, log_r) + 0.5 * (growth * growth", "return log_excess(growth, log_r) + (growth * growth", "E1"),
    ("kl", "growth = (scale_q - scale_p) / scale_p  # r - 1", "growth = (scale_q - scale_p) / scale_q", "E1"),
    ("kl", "excess = log_excess(diagonal(change), log_r).sum(-1)", "excess = log_excess(diagonal(change), log_r).mean(-1)", "E4"),
    ("kl", "standardized_gap = (loc_q - loc_p) / scale_p", "standardized_gap = (loc_q - loc_p) / scale_q", "E1"),
    ("_special", "return where(small == growth, series, growth - log_ratio)", "return growth - log_ratio", "E9"),
    ("_special", "series = u * (small - v * (2 / 3", "series = u * (small + v * (2 / 3", "E9"),
    ("elbo", "return log_likelihood - beta * kl", "return log_likelihood + beta * kl", "F2"),
    ("elbo", "return self.log_likelihood - self.kl", "return self.log_likelihood + self.kl", "F6"),
    ("elbo", "return self.cross_entropy - self.entropy", "return self.cross_entropy + self.entropy", "F6"),
    ("elbo", "return np.where(density > 0, density, 0.0)", "return np.where(density > 0, 1.0, 0.0)", "F1"),
    ("models", "spread = np.sum((self.loading.T @ self.loading) * covariance, axis=(-2, -1))", "spread = 0.0", "F8"),
    ("models", "square / (2 * self.noise_variance)", "square / (2 * self.noise_variance**2)", "F8"),
    ("models", "(LOG_2PI + np.log(self.noise_variance)) - square", "LOG_2PI - square", "F8"),
    ("models", "self.noise_variance * np.eye(self.latent_dim))", "np.eye(self.latent_dim))", "A7"),
    ("models", "covariance = self.loading @ self.loading.T + self.noise_variance", "covariance = self.loading @ self.loading.T + 1.1 * self.noise_variance", "A3"),
    ("models", "return self.log_joint(x, z) - logsumexp(column)", "return self.log_joint(x, z) - np.max(column)", "A1 A2"),
    ("models", "return _log(self.prior @ self.likelihood[:, self._value(x)])", "return _log(np.mean(self.likelihood[:, self._value(x)]))", "A1 F3"),
    ("models", "return self.prior[:, None] * self.likelihood", "return self.likelihood", "A"),
    ("distributions.gaussian", "return namespace(self.scale).log(self.scale) + HALF_LOG_2PI + 0.5",
     "return namespace(self.scale).log(self.scale) + HALF_LOG_2PI", "D"),
]
TERMS = [
    ("terms", "return density_times(log_first, log_first - second.log_density.at(witness, z))",
     "return density_times(log_first, second.log_density.at(witness, z) - log_first)", "F1"),
    ("terms", "log_density + _plain(term, witness, z), -np.inf)", "_plain(term, witness, z), -np.inf)", "F3"),
    ("terms", "cross = -E(law,", "cross = E(law,", "F6"),
    ("terms", "return self + (-_term(other))", "return self + _term(other)", "F1"),
    ("terms", '_PRIOR = _atom("log_prior", "p(z)", lambda w, z: w.model.log_prior(z))',
     '_PRIOR = _atom("log_prior", "p(z)", lambda w, z: w.model.log_prior(z) / 2)', "F2"),
]
QUADRATURE = [
    ("quadrature", "weights = np.full(nodes.size, width)", "weights = np.full(nodes.size, 1.001 * width)", "F1"),
    ("quadrature", "(centers[:, None] + half_width * x)", "(centers[:, None] + 0.9 * half_width * x)", "F1"),
    ("quadrature", "np.tile(half_width * w, panels)", "np.tile(half_width * w[::-1] * 1.001, panels)", "F1"),
    ("quadrature", "return _frozen(nodes, weights / weights.sum())", "return _frozen(nodes, weights)", "H7"),
    ("quadrature", "return _weighted(grid_weights, _values(f, loc + grid @ scale_tril.T))",
     "return _weighted(grid_weights, _values(f, loc + grid @ scale_tril))", "I4"),
    ("quadrature", "return Estimate(values.sum(axis=0)", "return Estimate(values.mean(axis=0)", "F3"),
    ("quadrature", "error = np.where(fine == coarse, 0.0, np.abs(fine - coarse))", "error = 1e-3 + 0 * np.abs(fine - coarse)", "F1"),
]
ESTIMATORS = [
    ("montecarlo", "samples.mean(axis=0), samples.std", "np.median(samples, axis=0), samples.std", "F8"),
    ("montecarlo", "samples.std(axis=0, ddof=1) / np.sqrt(n)", "samples.std(axis=0, ddof=1)", "F8 F12"),
    ("montecarlo", "samples.std(axis=0, ddof=1) / np.sqrt(n)", "samples.std(axis=0, ddof=1) / n", "F8 F12"),
    ("estimate", "return self + (-_estimate(other))", "return self + _estimate(other)", "F6"),
    ("distributions.gaussian", "return loc + matvec(factor, noise)", "return loc + noise", "F8"),
]
CHECKER = [
    ("derivation.judging", '"=": ~(size <= allowance),', '"=": size < 0,', "F1"),
    ("derivation.judging", '"<=": ~(margin >= -allowance),', '"<=": size < 0,', "A C F"),
    ("derivation.judging", '">": ~(margin > allowance),', '">": size < 0,', "C"),
    ("derivation.judging", '"!=": ~(size > allowance),', '"!=": size < 0,', "C4"),
    ("derivation.judging", "bad = ~(error <= allowance)", "bad = error < 0", "F4 F10"),
    ("derivation.compare", "SAFETY = 16", "SAFETY = 10**12", "F1"),
    ("derivation.compare", "Z_THRESHOLD = 4.5", "Z_THRESHOLD = 1e9", "F8 F12"),
    ("derivation.compare", "ORDER_SLACK = 1.5", "ORDER_SLACK = 1e9", "F5 E8"),
    ("derivation.judging", "BROKEN or relative or above.sampled", "BROKEN or above.sampled", "N7"),
    ("derivation.judging", " & (not (above.infinite or below.infinite))", "", "C24"),
    ("derivation.judging", "if np.any(best[0] & best[1]):", "if True:", "F4 F10"),
    ("derivation.checking", "if line.gap is not None:", "if False:", "F2"),
    ("derivation.checking", "if line.equality is not None and i == 0 and", "if False and", "C1"),
    ("derivation.checking", "if verdict is Verdict.BROKEN:\n                return SlipResult", "if False:\n                return SlipResult", "F1"),
    ("derivation.checking", "replace(half, coarse=coarse.value, order=line.order)", "replace(half, coarse=100 * coarse.value, order=line.order)", "F5 E8"),
]
GRADIENTS = [
    ("gradients", "return Gradients(along, along * noise)", "return Gradients(along, along)", "H1"),
    ("gradients", "return Gradients(along, along * noise)", "return Gradients(along, along * noise * q.scale)", "H20"),
    ("gradients", "return Gradients(u / scale, (u * u - 1) / scale)", "return Gradients(u / scale, u * u / scale)", "H2"),
    ("gradients", "return Gradients(u / scale, (u * u - 1) / scale)", "return Gradients(u, u * u - 1)", "H2"),
    ("gradients", "weight = weight - baseline", "weight = weight + baseline", "H7"),
    ("gradients", "return (values.sum(0) - values) / (count - 1)", "return values.sum(0) / count + 0 * values", "H16"),
    ("ledger.h_gradients", "return w.q.transform(rng.standard_normal(n))", "return w.q.loc + rng.standard_normal(n)", "H10"),
]
EVIDENCE = [
    ("montecarlo", "return (estimate.value - reference) / estimate.error",
     "return (estimate.value - reference) / (1.1 * estimate.error)", "N5"),
    ("montecarlo", "samples.std(axis=0, ddof=1) / np.sqrt(n)", "samples.std(axis=0, ddof=0) / np.sqrt(n)", "N5 N6"),
    ("elbo", "np.log(np.mean(np.exp(log_weights - largest), axis=axis))", "np.mean(log_weights - largest, axis=axis)", "B1 B3"),
    ("elbo", "+ np.squeeze(largest, axis=axis)", "", "B1"),
    ("quadrature", "nodes, weights = roots_hermitenorm(n)", "nodes, weights = roots_hermitenorm(n); nodes = nodes * 1.001", "N4 N8"),
    ("_special", "return -np.logaddexp(0.0, -x)", "return -np.log(1 + np.exp(-x))", "N7"),
    ("_special", "return -np.logaddexp(0.0, -x)", "return -np.logaddexp(0.0, x)", "D8"),
    ("_special", "shifted = logits - where(top, logits, 0.0).sum(-1)[..., None]", "shifted = logits", "B1"),
    ("_special", "return shifted - xp.log1p(rest)", "return shifted - rest", "D12"),
    ("models", "return self.posterior(x).log_prob(*as_numpy(z=z))", "return self.prior.log_prob(*as_numpy(z=z))", "A5"),
    ("ledger.b_evidence", r"\quad v = \left(\frac{2}{v_p} - \frac{1}{v_q}\right)^{-1}", r"\quad v = \left(\frac{2}{v_p} + \frac{1}{v_q}\right)^{-1}", "E15"),
]
EXPECTATION_MAXIMIZATION = [
    ("em", "return np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))",
     "return np.exp(log_joint - np.max(log_joint, axis=1, keepdims=True))", "G9 G12"),
    ("em", "log_normalizer = self.loc.shape[1] * (", "log_normalizer = (", "G9"),
    ("em", "loc = responsibilities.T @ x / mass[:, None]", "loc = responsibilities.T @ x / len(x)", "G6"),
    ("em", "/ (x.shape[1] * mass)", "/ mass", "G6"),
    ("em", "second_moment = centered_m.T @ centered_m / len(x) + covariance", "second_moment = centered_m.T @ centered_m / len(x)", "G7"),
    ("em", "noise_variance = float(values[:-latent_dim].mean())", "noise_variance = float(values.mean())", "G7"),
    ("ledger.g_em", "return np.log(self.joint) @ self.q_2", "return np.log(self.joint @ self.q_2)", "F14"),
    ("ledger.f_beyond", "return 1 + 3 * self.bend * u**2", "return 1 + self.bend * u**2", "F17"),
    ("ledger.f_beyond", "constant = -self.slope @ self.model.offset", "constant = self.slope @ self.model.offset", "F22"),
    ("ledger.f_beyond", r'.start(tex(r"\log p(x) - \log p(y)")', r'.start(tex(r"\log p(x) + \log p(y)")', "F23"),
    ("ledger.f_beyond", "return np.cosh(u) / np.hypot(1.0, np.sinh(u) + self.push)",
     "return np.cosh(u) / np.hypot(1.0, np.sinh(u) - self.push)", "F24"),
]
RATE_AND_MISSING = [
    ("ledger.k_rate", r"\mathrm{H}(\bar q(z_1)) + \mathrm{H}(\bar q(z_2)) - \mathrm{H}(\bar q(z_1, z_2))",
     r"\mathrm{H}(\bar q(z_1)) + \mathrm{H}(\bar q(z_2))", "K9"),
    ("ledger.k_rate", "precision = self.slope**2 + beta * self.noise_variance", "precision = self.slope**2 + self.noise_variance", "K6"),
    ("ledger.k_rate", r"\frac{(2\pi\beta c)^{d/2}}{(2\pi c)^{d/(2\beta)}}", r"\frac{(2\pi c)^{d/2}}{(2\pi c)^{d/(2\beta)}}", "K7"),
    ("ledger.k_rate", r"- \mathrm{H}(z) + \mathrm{H}(x_2, z) - \mathrm{H}(z) + R", r"- \mathrm{H}(z) + \mathrm{H}(x_2, z) + R", "K12"),
    ("ledger.k_rate", "np.log(w.joint) - np.log(aggregate)", "np.log(w.joint)", "K11"),
    ("ledger.k_rate", "turn @ q.covariance @ turn.T", "turn.T @ q.covariance @ turn", "K13"),
    ("ledger.m_missing", "return (w.posterior if code is None else code) @ w.of_missing",
     "return (w.encoder if code is None else code) @ w.of_missing", "M2"),
    ("ledger.m_missing", "return new * q_old / (old * q_new)", "return new * q_new / (old * q_old)", "M3"),
    ("ledger.m_missing", r"\left[1 - w(z) + \chi^2(p \,\Vert\, q)\right] \quad", r"\left[2 - w(z) + \chi^2(p \,\Vert\, q)\right] \quad", "M5"),
    ("ledger.m_missing", r"\tfrac{p(x_o, x_m, z')\,q(z \mid x_o, x_m)}", r"\tfrac{p(x_o, x_m, z')\,q(z' \mid x_o, x_m)}", "M3"),
    ("elbo", "return log_likelihood - beta * kl", "return log_likelihood - 2 * beta * kl", "K4"),
]
GEOMETRY = [
    ("kl", "return where(impossible, INFINITY, where(near, close, far))", "return where(near, close, far)", "C24"),
    ("kl", "far = weighted(s, log_ratio_of_one) + weighted(complement, log_ratio_of_zero)", "far = weighted(s, log_ratio_of_one)", "E16"),
    ("distributions.gaussian", "return 0.5 * (spread + gap) + _log_det(factor) + HALF_LOG_2PI * loc.shape[-1]",
     "return 0.5 * spread + _log_det(factor) + HALF_LOG_2PI * loc.shape[-1]", "E4"),
    ("ledger.c_geometry", "return float(self.weights @ (self.scale**2 + (self.loc - self.mean) ** 2))",
     "return float(self.weights @ self.scale**2)", "C17"),
    ("ledger.c_geometry", r"\int_b^a 4\,(a - t)\,dt", r"\int_b^a 3\,(a - t)\,dt", "C11"),
    ("ledger.e_geometry", r"\tfrac{V_q + d^2 + \Delta^\top \Sigma_{q,11} \Delta}{V_p}",
     r"\tfrac{V_q + d^2 + \Delta^\top \Sigma_{p,11} \Delta}{V_p}", "E11"),
]
CHAINS = [
    ("ledger.p_chains", r'tex(r"\frac{1 - \alpha_t}{2\,\alpha_t\,(1 - \bar\alpha_{t-1})}\," + NOISE_LOSS)',
     r'tex(r"\frac{1 - \alpha_t}{\alpha_t\,(1 - \bar\alpha_{t-1})}\," + NOISE_LOSS)', "P6"),
    ("ledger.p_chains", "roots.append(np.sqrt(alpha) * roots[-1]", "roots.append(alpha * roots[-1]", "P1"),
]
FAMILIES = [
    ("ledger.e_families", "return Gamma(self.prior.concentration + self.x, self.prior.rate + 1)",
     "return Gamma(self.prior.concentration + self.x, self.prior.rate)", "B9"),
    ("ledger.c_bounds", "tilted = self.pair.q * np.exp(self.T)", "tilted = self.pair.p * np.exp(self.T)", "C15"),
    ("ledger.c_local", "lambda t: -1 / t", "lambda t: 1 / t", "C19"),
    ("distributions.scalar", "return namespace(self.scale).log(self.scale) + (LOG_2 + 1.0)",
     "return namespace(self.scale).log(self.scale) + 1.0", "D5 D6"),
    ("distributions.scalar", "return log_mean - shortfall - self._log_height(a)", "return log_mean - self._log_height(a)", "D6"),
    ("kl", "decay = where(moderate, namespace(t).expm1(-t), -1.0)", "decay = where(moderate, -t, -1.0)", "E17"),
    ("kl", "return means + _gamma_of_mean_one(concentration_q, concentration_p)", "return means", "E18"),
    ("kl", "floor = math.log(2.0 / math.pi) + 0.5", "floor = math.log(2.0 / math.pi)", "E20"),
    ("ledger.e_divergences", "parts = alpha / q.scale**2, (1 - alpha) / p.scale**2",
     "parts = alpha / q.scale, (1 - alpha) / p.scale", "E14"),
]
DRAWS = [
    ("ledger.g_information", r"v_k = \tfrac{1}{d N_k}", r"v_k = \tfrac{1}{N_k}", "G3"),
    ("ledger.g_information", r"B = V + \tfrac1N", r"B = \tfrac1N", "G8"),
    ("gradients", "return Gradients(u / scale, (u * u - 1) / scale)", "return Gradients(u / scale**2, (u * u - 1) / scale)", "H8"),
    ("ledger.h_scores", "return -np.log(rng.standard_exponential(shape))", "return np.log(rng.standard_exponential(shape))", "H14"),
    ("ledger.i_affine", r"\tfrac12 \mathrm{tr}(P D \Sigma D^\top)", r"\mathrm{tr}(P D \Sigma D^\top)", "I3"),
    ("ledger.j_draws", r'RELATIVE = r"\tfrac{1}{2 K p(x)^2}', r'RELATIVE = r"\tfrac{1}{K p(x)^2}', "J17"),
    ("ledger.j_paths", r'STEP = r"(b_t - b_{t-1})"', r'STEP = r"(b_t + b_{t-1})"', "J16"),
    ("distributions.gaussian", "return namespace(factor).log(diagonal(factor)).sum(-1)",
     "return namespace(factor).log(diagonal(factor)).mean(-1)", "N3"),
    ("ledger.n_logs", "v^2 / (2 t^2)", "v^2 / t^2", "N2"),
]
DECODERS = [
    ("distributions.discrete", "sign -= 1.0  # in place", "sign -= 0.9  # in place", "D8"),
    ("distributions.discrete", "return log_sigmoid(sign * logits)", "return -log_sigmoid(sign * logits)", "B7"),
    ("distributions.gaussian", "return -0.5 * ((x - loc) / scale) ** 2 - namespace(scale).log(scale) - HALF_LOG_2PI",
     "return -0.5 * ((x - loc) / scale) ** 2 - namespace(scale).log(scale)", "D9"),
    ("ledger.d_likelihood", "return np.exp(log_r) - 1 - log_r", "return log_r**2 / 2", "C23"),
    ("ledger.d_likelihood", "Estimate(0.0))) / self.x.size", "Estimate(0.0))) / len(self.x)", "K8"),
    ("elbo", "return log_likelihood - beta * kl", "return log_likelihood - kl", "L4"),
    ("models", "return self.expected_log_likelihood(x, q) - kl_divergence(q, self.prior)",
     "return self.expected_log_likelihood(x, q) + kl_divergence(q, self.prior)", "L3"),
    ("ledger.l_linear", "c = float(eigenvalues[k:].mean())", "c = float(eigenvalues.mean())", "L1"),
    ("ledger.j_importance", "return tables[1] @ tables[0] if reverse else tables[0] @ tables[1]", "return tables[0] @ tables[1]", "J14"),
    ("ledger.j_importance", "slope = fit - z + e / w.q.scale", "slope = fit - z", "J10"),
    ("ledger.i_gaps", r'of_the_scale = tex(r"\tfrac12 \sum_j', r'of_the_scale = tex(r"\sum_j', "I1"),
    ("ledger.l_linear", r'tex(r"\frac{\lambda_j - c}{c^2}")', r'tex(r"\frac{\lambda_j + c}{c^2}")', "L5"),
]
READER_AND_TREE = [  # what is read and how it is computed: the formulas themselves are right
    ("formula.reader", 'if sign and sign.text == "-" else term)', 'if sign and sign.text == "*" else term)', "E4"),
    ("formula.reader", "above = factors[0] if len(factors) == 1 else Product(tuple(factors), tuple(spaces))",
     "above = factors[-1]", "H1 L5 J3"),
    ("formula.reader", "return Quotient(self.argument(), self.argument(), token.text[1:]",
     "return Quotient(*(self.argument(), self.argument())[::-1], token.text[1:]", "E2 E4"),
    ("formula.reader", "parts[part].append(self.relation())", "parts[min(part, 1)].append(self.relation())", "E4 L3 G6"),
    ("formula.tree", "return Sum((*_terms(self), -node(other)))", "return Sum((*_terms(self), node(other)))", "E1"),
    ("formula.typed", "return _with(a, -a.data)", "return _with(a, a.data)", "E1"),
    ("formula.typed", "return _with(a, np.add(a.data, b.data))", "return _with(a, np.maximum(a.data, b.data))", "E4"),
    ("formula.typed", "(np.broadcast_to(p, batch).astype(int) - a.first for p in positions)",
     "(np.broadcast_to(p, batch).astype(int) - 2 * a.first for p in positions)", "E2 L3"),
    ("formula.run", "return number(np.sum(inside.data**2, axis=-1))", "return number(np.sum(np.abs(inside.data), axis=-1))", "F8 G6"),
    ("formula.typed", "return Typed(np.trace(a.data, axis1=-2, axis2=-1))", "return Typed(np.sum(a.data, axis=(-2, -1)))", "E4"),
    ("formula.typed", "return _with(a, np.swapaxes(a.data, -1, -2))", "return a", "A7 L3"),
    ("formula.typed", "return _with(a, np.linalg.matrix_power(a.data, int(n)))", "return _with(a, a.data ** int(n))", "E4 A7"),
    ("formula.sums", "np.subtract(self.law_log(first, inside), self.law_log(second, inside))",
     "np.subtract(self.law_log(second, inside), self.law_log(first, inside))", "C4 K1"),
    ("formula.sums", "result = number(-self.law_log(second, steps[-1][0]))", "result = number(self.law_log(second, steps[-1][0]))", "C17 K1"),
    ("formula.sums", "return np.arange(1, known + 1)", "return np.arange(1, known)", "E2 J1"),
    ("formula.sums", "gap = typed.add(self.value(node.body, steps[-1][0]), typed.negative(mean))",
     "gap = self.value(node.body, steps[-1][0])", "J3 H7"),
    ("formula.logs", "return Log(-np.logaddexp(0.0, -self.scalar(node.body, env)))", "return Log(-np.logaddexp(0.0, self.scalar(node.body, env)))", "F11"),
    ("formula.logs", "total = weights + log", "total = log", "B1 A1 B5"),
    ("formula.logs", "return _add([self.log(term, env) for term in node.terms])", "return _add([self.log(term, env) for term in node.terms[:1]])", "K10 F20 D8 C17"),
    ("formula.worlds", "result = result - self._marginal(givens)", "result = result + self._marginal(givens)", "A1 A2"),
    ("formula.worlds", "rest = s[np.ix_(t, t)] - slope @ s[np.ix_(g, t)]", "rest = s[np.ix_(t, t)]", "A5 E11 M2"),
    ("formula.slopes", "term = typed.multiply(typed.number(weight / step**order), f(moved))",
     "term = typed.multiply(typed.number(weight / step), f(moved))", "H5 L8"),
    ("formula.definitions", "return wrapped(substitute(meaning, name.sub, node.sub))", "return wrapped(meaning)", "J3 J1 G6"),
]
# fmt: on
MUTATIONS = [
    *FORMULAS,
    *TERMS,
    *QUADRATURE,
    *ESTIMATORS,
    *CHECKER,
    *GRADIENTS,
    *EVIDENCE,
    *DECODERS,
    *CHAINS,
    *FAMILIES,
    *DRAWS,
    *EXPECTATION_MAXIMIZATION,
    *GEOMETRY,
    *RATE_AND_MISSING,
    *READER_AND_TREE,
]


def test_at_least_forty_errors_are_planted_by_hand() -> None:
    assert len(MUTATIONS) >= 40
    assert len({(module, new) for module, _, new, _ in MUTATIONS}) == len(MUTATIONS)


def test_a_harmless_change_leaves_the_command_content(tmp_path: Path) -> None:
    """The harness itself does no harm: a comment changed, and everything still holds."""
    change = ("derivation.compare", "SAFETY = 16  #", "SAFETY = 16  # ")
    status, written = outcome(*change, ["verify", "C1", "F8"], tmp_path / "written")
    assert status == 0 and "2 of 2 identities hold" in written, written


def test_change_that_does_not_fit_the_source_any_more_is_told(tmp_path: Path) -> None:
    status, written = outcome(
        "derivation.compare", "SAFETY = 17", "SAFETY = 18", ["verify", "C1"], tmp_path / "written"
    )
    assert status == NOT_ONCE and "found it 0 times" in written


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", some(range(len(MUTATIONS)), every=4), ids=[f"{m}-{i}" for i, (m, *_) in enumerate(MUTATIONS)]
)
def test_planted_error_is_rejected_by_verify(number: int, tmp_path: Path) -> None:
    module, old, new, ids = MUTATIONS[number]
    status, written = outcome(module, old, new, ["verify", "--jobs", "1", *ids.split()], tmp_path / "written")
    assert status != NOT_ONCE, written
    assert status == 1, f"survived, with status {status}: {module}: {old!r} -> {new!r} ({ids})\n{written}"
    assert "Traceback" not in written, written
