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
    "00": [
        Try(
            cell="verdict-numbers",
            old='mine = Scope(values={"a": 2.0, "b": 2.0})',
            new='mine = Scope(values={"a": 3.0, "b": 1.5})',
            until="broken-lucky",
            sees="The wrong rule holds again, since 3 + 1.5 = 3 times 1.5.",
        ),
        Try(
            cell="verdict-own",
            old=r"= \log a + \log b",
            new=r"= 2 \log \sqrt{a\,b}",
            until="verdict-own",
            sees="A rule of one's own is judged.",
        ),
        Try(
            cell="error-bar",
            old="slope = 0.5",
            new="slope = 3.0",
            until="error-bar",
            sees="The estimate lies far below the truth, by many of its error bars.",
        ),
    ],
    "01": [
        Try(
            cell="table-counts",
            old="[12, 60, 168]",
            new="[8.4, 42, 117.6]",
            until="slip-check",
            sees="4 and 9 have the same posterior probability after an open top.",
        ),
        Try(
            cell="toy-answer",
            old="loading=[[2.0]]",
            new="loading=[[0.0]]",
            until="toy-answer",
            sees="The posterior is the prior: mean 0, deviation 1.",
        ),
        Try(
            cell="modes-numbers",
            old="x = np.array([1.2])",
            new="x = np.array([-0.5])",
            until="modes-picture",
            sees="The posterior has one peak.",
        ),
    ],
    "02": [
        Try(
            cell="copies-model",
            old="seen = 1.0",
            new="seen = 3.0",
            until="samples-needed",
            sees="Sampling the prior gets worse; near the posterior nothing changes.",
        ),
        Try(
            cell="any-q-use",
            old="wider = Normal(posterior.loc, 1.2 * posterior.scale)",
            new="wider = Normal(posterior.loc + posterior.scale, posterior.scale)",
            until="dimension-picture",
            sees="Each dimension multiplies the price by e.",
        ),
        Try(
            cell="weights-answer",
            old="for f in (0.5, 2.0))",
            new="for f in (1.5, 2.0))",
            until="weights-answer",
            sees="Between 1 and 2 the price of a proposal with the right mean is finite and small.",
        ),
    ],
    "09": [
        Try(
            cell="train-own",
            old="LATENTS = 16",
            new="LATENTS = 2",
            until="learned-picture",
            sees="Two latents give fewer letters, and softer ones.",
        ),
        Try(
            cell="walk",
            old="encoder(pixels[6:12])[0]",
            new="encoder(pixels[1:7])[0]",
            until="walk",
            sees="Other pairs of letters have other middles.",
        ),
        Try(
            cell="audit-yours",
            old="return ((x_hat - x) ** 2).mean() + 0.1 * kl.mean()",
            new="return ((x_hat - x) ** 2).sum() + 0.1 * kl.mean()",
            until="audit-yours",
            sees="The ratio of another loss is measured.",
        ),
    ],
    "10": [
        Try(
            cell="j2-answer",
            old="q = Normal(0.3, 0.7)",
            new="q = Normal(0.3, 1.2)",
            until="ladder-picture",
            sees="The ELBO falls further, and many weights are as good as before.",
        ),
        Try(
            cell="anneal",
            old="0.8 * rng",
            new="0.05 * rng",
            until="ladder-picture",
            sees="It is still a bound, and hardly better than the ELBO.",
        ),
        Try(
            cell="j14-check",
            old="",
            new="report.slips",
            until="j14-check",
            sees="Each slip is named with its sentence.",
        ),
    ],
}
