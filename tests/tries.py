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
    "06": [
        Try(
            cell="ends-run",
            old="loc=np.array([[2.75], [2.75]])",
            new="loc=np.array([[2.75], [2.76]])",
            until="ends-run",
            sees="A hundredth of a gram is enough: EM climbs to the same top as from our guess.",
        ),
        Try(
            cell="stairs-check",
            old="",
            new='G9.with_slip("touching after the M step").check()',
            until="stairs-check",
            sees="The last line is blamed: after an M step there is a gap.",
        ),
        Try(
            cell="vae-run",
            old="decoder_step(encoder_step(vae))",
            new="decoder_step(encoder_step(encoder_step(encoder_step(vae))))",
            until="vae-run",
            sees="The evidence still falls, but less: the encoder catches up sooner.",
        ),
    ],
    "07": [
        Try(
            cell="score-answer",
            old="",
            new=(
                "print(pathwise(q, lambda z: -15 * np.sin(15 * z), noise).loc.var(), "
                "score_function(q, lambda z: np.cos(15 * z), noise).loc.var())"
            ),
            until="score-answer",
            sees="The pathwise variance is far larger: the slope of a fast wave says little about its mean.",
        ),
        Try(
            cell="baseline-numbers",
            old='{"the others": others_mean(f_new)}',
            new='{"the others": others_mean(f_new), "all draws": f_new.mean()}',
            until="baseline-numbers",
            sees="No difference with 20,000 draws; with K the gradient shrinks by (K - 1)/K, so with 2 by one half.",
        ),
        Try(
            cell="detach-answer",
            old="Normal(2 * z, 0.5**0.5).log_prob(1.0) - q.log_prob(z)",
            new="Normal(2 * z, 0.5**0.5).log_prob(1.0) - Normal(mu.detach(), sigma.detach()).log_prob(z)",
            until="detach-table",
            sees="It is right: off by 0 in sigma, for f has no history through q any more.",
        ),
    ],
    "08": [
        Try(
            cell="maximum-answer",
            old="k, d = 4, 6",
            new="k, d = 2, 6",
            until="linear-vae-trained",
            sees="The noise variance becomes 0.75, the mean of the four discarded eigenvalues; 5.25 and 2.25 are left.",
        ),
        Try(
            cell="patches-data",
            old="",
            new="print(spectrum[9] / 0.5)",
            until="patches-data",
            sees="Below a beta of about 0.06 ten directions lie above the threshold.",
        ),
        Try(
            cell="experiment-answer",
            old="train(S, k=4, noise=1.0)",
            new="train(S, k=4, noise=1.0, size=0.0)",
            until="experiment-answer",
            sees="All columns stay at zero: the slope vanishes there, but it is a saddle.",
        ),
    ],
}
