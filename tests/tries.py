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
    "03": [
        Try(
            "fits-slider",
            "FloatSlider(4.0,",
            "FloatSlider(2.25,",
            "fits-slider",
            "The fits part where the valley of p has become deep enough to hold a search on its side.",
        ),
        Try(
            "asymmetry-answer",
            "",
            "print(kl(np.array([0.2, 0.8]), np.array([0.8, 0.2])), kl(np.array([0.8, 0.2]), np.array([0.2, 0.8])))",
            "asymmetry-answer",
            "Mirrored coins cost the same both ways: symmetry would need that of every pair.",
        ),
        Try(
            "fits-answer",
            "two = TwoModes(4.0)",
            "two = TwoModes(4.0, weight=0.95)",
            "fits-picture",
            "The forward fit moves to the heavy mode; each reverse fit hardly moves, and the light mode costs more.",
        ),
    ],
    "04": [
        Try(
            "one-answer",
            "",
            "print(kl_divergence(Normal(0.0, 0.23), p), kl_divergence(Normal(0.0, 2.12), p))",
            "one-picture",
            "The scales are near 0.23 and 2.12: one nat buys a much larger factor downwards than upwards.",
        ),
        Try(
            "one-check",
            "",
            'print(E1.with_slip("no -1/2").check())',
            "one-check",
            "Line 3 is broken by one half, and the report says which term is missing.",
        ),
        Try(
            "digit-prices",
            "latents = 8",
            "latents = 2",
            "digit-prices-picture",
            "Two latents can tell less about an image, and the code becomes cheaper.",
        ),
    ],
    "05": [
        Try(
            "climb",
            "start = (-1.0, 1.0)",
            "start = (3.0, 0.1)",
            "climb-picture",
            "The mean is near its place after a few steps, while the scale still grows.",
        ),
        Try(
            "own-line",
            "E(q, log_lik) - KL(q, prior)",
            "E(q, log_joint) + H(q)",
            "own-line",
            "The line holds: reconstruction minus regularizer is energy plus entropy.",
        ),
        Try(
            "f3-check",
            "",
            "print(F3.with_line(3, E(q, log_lik)).check([toy]))",
            "f3-check",
            "The report names line 3, since what is lost is not the gap.",
        ),
        Try(
            "bar-answer",
            '"toy": toy.q,',
            '"toy": toy.q,\n    "one unit off": Normal(4 / 9 + 1, 1 / 3),',
            "bar-picture",
            "The gap is half a squared unit over the variance, 4.5 nats.",
        ),
    ],
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
            old="train(cov, k=4, noise=1.0)",
            new="train(cov, k=4, noise=1.0, size=0.0)",
            until="experiment-answer",
            sees="All columns stay at zero: the slope vanishes there, but it is a saddle.",
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
            sees="The version with only its batches mended dies of NaN: a rounded sigmoid, and noise of a wrong scale.",
        ),
        Try(
            cell="e2-before",
            old="kl_line(kl_to_prior)",
            new="kl_line(lambda mean, log_var: -0.5 * (1 + log_var + mean**2 - log_var.exp()).sum(-1))",
            until="e2-before",
            sees="The check names the sign of the squared mean.",
        ),
    ],
    "14": [
        Try(
            cell="world",
            old="np.array([-1.6, 0.3, 1.4])",
            new="np.array([0.3, 0.3, 0.3])",
            until="gap-answer",
            sees="The gap still falls by about ten from 100 to 1000 steps.",
        ),
        Try(
            cell="world",
            old="np.linspace(10, -10, steps)",
            new="np.linspace(10, 1, steps)",
            until="gap-answer",
            sees="The gap falls by a factor of 3 only, for the prior does not fit the noisiest latent.",
        ),
        Try(
            cell="letters-train",
            old="STEPS = 2000",
            new="STEPS = 300",
            until="letters-picture",
            sees="Strokes are there before whole letters are.",
        ),
    ],
}
