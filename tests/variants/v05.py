"""Answers to the exercises of notebook 05: right ones written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.terms import KL, E, H, log_E, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q

BOUND = E(q, log_lik) - KL(q, prior)

VARIANTS: dict[str, list[Any]] = {
    "05.1": [
        [
            log_evidence,
            E(q, log_evidence),
            E(q, log_lik + log_prior - log_post),
            (E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_post), "multiply by q/q, and sort"),
            (">=", BOUND, "a KL is never negative"),
        ],
        [log_evidence, log_E(q, log_joint - log_q), (">=", E(q, log_joint - log_q), "Jensen"), BOUND],
        (log_evidence, ("=", E(q, log_joint) + H(q) + KL(q, post)), (">=", E(q, log_joint) + H(q)), BOUND),
        [
            log_evidence,
            log_evidence - KL(q, post) + KL(q, post),
            (">=", log_evidence - KL(q, post)),
            E(q, log_lik) - H(q, prior) + H(q),
            BOUND,
        ],
    ],
    "05.2": [3.0, np.int64(3), lambda: 3],
    "05.3": [
        [
            KL(q, post),
            E(q, log_q - log_post),
            E(q, log_q - log_joint + log_evidence),
            E(q, log_q - log_joint) + log_evidence,
            E(q, log_q - log_prior - log_lik) + log_evidence,
            log_evidence - BOUND,
        ],
        [
            KL(q, post),
            -H(q) - E(q, log_post),
            -H(q) + H(q, post),
            -H(q) - E(q, log_joint) + log_evidence,
            -H(q) + H(q, prior) - E(q, log_lik) + log_evidence,
            KL(q, prior) - E(q, log_lik) + log_evidence,
        ],
        (
            KL(q, post),
            ("=", E(q, log_q) - E(q, log_post)),
            ("=", E(q, log_q) - E(q, log_joint - log_evidence), "Bayes, and the logarithm of a quotient"),
            ("=", log_evidence - E(q, log_joint - log_q), "linearity"),
            ("=", log_evidence - (E(q, log_lik) - KL(q, prior)), "product rule, definition of KL"),
        ),
    ],
}

WRONG: dict[str, list[Any]] = {
    "05.1": [
        [log_evidence, E(prior, log_lik), (">=", BOUND)],
        [log_evidence, BOUND + KL(q, post), (">=", BOUND + 0.1)],
        [log_evidence, (">=", E(q, log_lik) - 2 * KL(q, prior))],
        [log_evidence, (">=", BOUND)],
        log_evidence,
        [log_evidence, E(q, log_evidence), (">=", BOUND)],
        [log_evidence, log_E(q, log_joint - log_q), (">=", E(q, log_joint - log_q)), E(q, log_joint) - E(q, log_q)],
        [log_E(q, log_joint - log_q), (">=", E(q, log_joint - log_q)), E(q, log_joint) + H(q), BOUND],
        [log_evidence, E(q, log_lik), (">=", BOUND)],
        [log_evidence, BOUND + KL(q, post), ("<=", BOUND)],
        [log_evidence, BOUND + KL(q, post), (">=", E(q, log_lik)), (">=", BOUND)],
        [log_evidence, log_E(q, log_joint - log_q), (">=", E(prior, log_lik)), E(q, log_lik), (">=", BOUND)],
    ],
    "05.2": [0, 5, 2.5, "three"],
    "05.3": [
        [KL(q, post), E(q, log_q) - E(q, log_post), log_evidence - E(q, log_lik)],
        [KL(q, post), E(q, log_q) - E(q, log_post), (">=", 0.0)],
        [KL(q, post), E(q, log_q - log_post), E(q, log_q - log_joint) + log_evidence],
        [KL(q, post), log_evidence - BOUND],
        [KL(q, post), log_q - log_post],
        [
            KL(q, post),
            E(q, log_q) - E(q, log_post),
            E(q, log_q) - E(q, log_lik + log_prior - log_evidence),
            E(q, log_q) - E(q, log_joint - log_evidence),
            E(q, log_q) - E(q, log_joint) + log_evidence,
        ],
        [
            E(q, log_q) - E(q, log_post),
            E(q, log_q) - E(q, log_joint - log_evidence),
            E(q, log_q) - E(q, log_joint) + log_evidence,
            E(q, log_q) - E(q, log_lik) - E(q, log_prior) + log_evidence,
            log_evidence - BOUND,
        ],
    ],
}
