"""The loss of a step in few passes: the ELBO of a diagonal Gaussian and Bernoulli pixels, with gradients written out.

`vaelib.objectives.loss` is the formula; this is the same number and the same gradient, for steps that run operation by
operation, where each operation costs time. A compiler finds such shortcuts by itself. tests/test_fused.py holds both
side by side, with second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelib import objectives
from vaelib.elbo import elbo
from vaelib.objectives import Objective, Terms
from vaelib.vae import VAE

EXACT = 40.0  # log(1 + e^v) is v beyond it, in double precision as well


def knows(model: VAE, objective: Objective) -> bool:
    """Is there a way in few passes for this model and this objective?"""
    return model.decoder.kind == "bernoulli" and objective.name == "elbo" and not objective.free_bits


def loss(model: VAE, x: Tensor, noise: Tensor, objective: Objective) -> tuple[Tensor, Terms]:
    """`vaelib.objectives.loss`, in few passes where it `knows` a way: then a step may use it, and little more.

    There the terms and beta carry no gradient, and `torch.func` does not take it.

    Args:
        x: (batch, pixels), zeros and ones. noise: (K, batch, latent_dim), standard normal.

    Returns:
        The number to minimize, in nats per example, and `Terms`, each (batch,) in nats.

    Source: Kingma and Welling 2014, equation (10).
    """
    if not knows(model, objective):
        return objectives.loss(model, x, noise, objective)
    q = model.encoder(x)
    logits = model.decoder(q.transform(noise)).logits
    minimized, terms = _Bound.apply(q.loc, q.scale, logits, x, objective.beta)
    return minimized, Terms(*terms)


class _Bound(torch.autograd.Function):
    """The ELBO as one operation: from loc and scale of q, (batch, latent_dim), and logits, (K, batch, pixels).

    With v = (1 - 2 x) logit, the logit of what a pixel is not, its log p is -log(1 + e^v), and the slope of that in the
    logit is (2 x - 1) sigmoid(v). Those of -KL are -loc and 1 / scale - scale. In single precision the formula itself
    keeps more digits of a KL near 0; a step does not need them.
    """

    @staticmethod
    def forward(
        ctx: Any, loc: Tensor, scale: Tensor, logits: Tensor, x: Tensor, beta: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(loc, scale, logits, x)
        ctx.beta = beta
        log_likelihood = F.softplus(_turned(logits, x), threshold=EXACT).sum(-1).mean(0).neg_()
        growth = scale - 1.0
        kl = 0.5 * torch.addcmul(growth * (scale + 1.0), loc, loc).sub_(growth.log1p(), alpha=2.0).sum(-1)
        maximized = elbo(log_likelihood, kl, beta)
        terms = torch.stack((maximized, log_likelihood, kl))
        ctx.mark_non_differentiable(terms)
        return -maximized.mean(), terms

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # of operations that have derivatives as well
        loc, scale, logits, x = ctx.saved_tensors
        each = slopes[0] / len(x)
        charged = each * ctx.beta
        in_logits = _turned(torch.sigmoid(_turned(logits, x)), x) * (each / len(logits))
        return charged * loc, charged * ((scale - 1.0) * (scale + 1.0) / scale), in_logits, None, None


def _turned(values: Tensor, x: Tensor) -> Tensor:
    """(1 - 2 x) values, in one pass: the other sign where a pixel is 1."""
    return torch.addcmul(values, values, x, value=-2.0)
