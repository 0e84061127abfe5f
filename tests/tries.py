"""What the last cell of a notebook invites to try, as changes that a test makes: tests/test_tries.py runs each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Try:
    """One change to a notebook.

    Args:
        cell: the id of the code cell that is changed.
        old: what is replaced in it, found there once; nothing if the try adds a line at the end of the cell.
        new: what is typed instead.
        until: the id of the last cell that is run then.
        sees: what the student finds, in a sentence.
    """

    cell: str
    old: str
    new: str
    until: str
    sees: str


# By the number of the notebook: one entry for each try of its summary, in that order.
TRIES: dict[str, list[Try]] = {
    "11": [
        Try(
            cell="exact-formula",
            old="0.5, 0.1, 0.1]",
            new="0.5, 0.1, 0.05]",
            until="plane-picture",
            sees="At beta = 1 the sum of rate and distortion stays above the entropy.",
        ),
        Try(
            cell="cures-train",
            old='"deep, free bits": {**deep, "free_bits": 0.25}',
            new='"deep, free bits": {**deep, "free_bits": 1.0}',
            until="cures-answer",
            sees="The rate grows to several nats, since each latent may spend one for nothing.",
        ),
        Try(
            cell="prices-train",
            old="betas = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)",
            new="betas = (0.05, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0)",
            until="prices-answer",
            sees="The number of active latents falls between 2 and 4.",
        ),
    ],
    "12": [
        Try(
            cell="third-data",
            old="half = rows_seen(4)",
            new="half = np.arange(64) % 8 < 4",
            until="linear-answer",
            sees="The squared error of the exact conditional mean over the right half is another one.",
        ),
        Try(
            cell="gibbs-tables",
            old="0.9, 0.05)",
            new="0.4, 0.3)",
            until="gibbs-answer",
            sees="Another half of the image comes too often.",
        ),
        Try(
            cell="noise-clean",
            old="noise = 0.1 ",
            new="noise = 0.5 ",
            until="noise-picture",
            sees="The cleaned images come near to the mean image.",
        ),
    ],
    "13": [
        Try(
            cell="j18-before",
            old="weights_line(importance_weighted)",
            new="weights_line(lambda log_weights: log_weights.mean(0))",
            until="j18-before",
            sees="The check calls it the plain bound, finite and too low.",
        ),
        Try(
            cell="verdict-numbers",
            old="SEED = 0",
            new="SEED = 1",
            until="verdict-answer",
            sees="The version with only its batches mended dies of NaN: the logarithm of a rounded sigmoid.",
        ),
        Try(
            cell="e2-before",
            old="kl_line(kl_to_prior)",
            new="kl_line(lambda mean, log_var: -0.5 * (1 + log_var + mean**2 - log_var.exp()).sum(-1))",
            until="e2-before",
            sees="The check names the sign of the squared mean.",
        ),
    ],
}
