"""Pictures: what is drawn agrees with the numbers, every axis is labelled, and nonsense is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import picture
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from vaelib import CurvedGaussian, Normal
from vaelib.elbo import bound_terms
from vaelib.plots import diagrams
from vaelib.terms import KL, E, log_evidence, log_lik, log_q, post, prior, q
from vaelib.witnesses import CurvedWitness

TOY = CurvedWitness(CurvedGaussian([2.0], [0.0], [0.0], 0.5), np.array([1.0]), Normal(0.3, 0.4))
PARTS = bound_terms(TOY.model, TOY.x, TOY.q)
EVIDENCE = PARTS.log_evidence.value
BOUND = PARTS.elbo.value


@pytest.fixture
def ax() -> Axes:
    return pyplot.subplots()[1]


def texts(ax: Axes) -> str:
    ax.figure.canvas.draw()  # ticks have their words only then
    return "\n".join(text.get_text() for text in [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels()])


def arrivals(ax: Axes) -> list[float]:
    return [float(line.get_xdata()[0]) for line in ax.lines if line.get_gid() == "arrival"]


def test_labeled_terms_have_their_latex_and_their_value() -> None:
    pairs = diagrams.labeled([log_evidence, -KL(q, prior)], TOY)
    assert pairs[0] == (r"$\log p(x)$", pytest.approx(EVIDENCE, rel=1e-12))
    assert pairs[1] == (f"${(-KL(q, prior)).latex}$", pytest.approx(-PARTS.kl.value, rel=1e-12))


def test_densities_draw_the_given_curves(ax: Axes) -> None:
    z = np.linspace(-2, 2, 50)
    curves = {"prior": np.exp(Normal(0.0, 1.0).log_prob(z)), "q": np.exp(TOY.q.log_prob(z))}
    assert diagrams.densities(ax, z, curves, "u") is ax
    for line, (name, density) in zip(ax.lines, curves.items(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), density)
        assert line.get_label() == name
    assert len({line.get_linestyle() for line in ax.lines}) == 2  # told apart in grey
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$u$", "density, per unit of $u$")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["prior", "q"]


def test_bar_is_bound_and_gap_up_to_the_evidence(ax: Axes) -> None:
    assert diagrams.evidence_bar(ax, EVIDENCE, {"toy": BOUND, "worse": BOUND - 1}) is ax
    bound, gap, worse, wider = ax.patches
    assert bound.get_y() + bound.get_height() == pytest.approx(BOUND, abs=1e-12)
    assert gap.get_y() == pytest.approx(BOUND, abs=1e-12)
    assert gap.get_height() == pytest.approx(PARTS.gap.value, abs=1e-12)
    assert worse.get_y() + worse.get_height() == pytest.approx(BOUND - 1, abs=1e-12)
    assert wider.get_y() + wider.get_height() == pytest.approx(EVIDENCE, abs=1e-12)
    assert gap.get_hatch() and not bound.get_hatch()
    assert ax.lines[0].get_ydata()[0] == EVIDENCE
    assert {"toy", "worse", "gap 0.13", "bound\n−1.91", "$\\log p(x)$ = −1.78"} <= {
        text.get_text() for text in [*ax.texts, *ax.get_xticklabels()]
    }
    assert ax.get_ylabel() == "nats"


def test_bar_axis_begins_where_asked_unless_a_bound_lies_below(ax: Axes) -> None:
    diagrams.evidence_bar(ax, EVIDENCE, {"toy": BOUND}, bottom=-6.0)
    assert ax.get_ylim()[0] == -6.0
    other = pyplot.subplots()[1]
    diagrams.evidence_bar(other, EVIDENCE, {"bad": -9.0}, bottom=-6.0)
    assert other.get_ylim()[0] < -9.0


def test_bar_of_the_posterior_has_no_minus_sign_before_zero(ax: Axes) -> None:
    diagrams.evidence_bar(ax, EVIDENCE, {"posterior": EVIDENCE + 1e-12})
    assert "gap 0.00" in texts(ax)


@pytest.mark.parametrize("bound", [EVIDENCE + 0.1, np.nan])
def test_bound_above_the_evidence_is_refused(ax: Axes, bound: float) -> None:
    with pytest.raises(ValueError, match=r"at most log p\(x\) = -1\.78209 nats.*'wrong'"):
        diagrams.evidence_bar(ax, EVIDENCE, {"toy": BOUND, "wrong": bound})
    with pytest.raises(ValueError, match=r"at most log p\(x\) = -1\.78209 nats.*mean of \$q\$ 0\.5"):
        diagrams.evidence_band(ax, [0.3, 0.5], [BOUND, bound], EVIDENCE)
    assert not ax.patches and not ax.collections


def test_bar_without_a_bound_is_refused(ax: Axes) -> None:
    with pytest.raises(ValueError, match="at least one bound"):
        diagrams.evidence_bar(ax, EVIDENCE, {})


def test_band_is_the_bar_at_every_parameter(ax: Axes) -> None:
    means = np.linspace(-0.5, 1.0, 7)
    bounds = np.array([bound_terms(TOY.model, TOY.x, Normal(mean, 0.4)).elbo.value for mean in means])
    assert diagrams.evidence_band(ax, means, bounds, EVIDENCE) is ax
    dark, hatched = (collection.get_paths()[0].vertices for collection in ax.collections)
    for mean, bound in zip(means, bounds, strict=True):
        at = [vertices[np.isclose(vertices[:, 0], mean), 1] for vertices in (dark, hatched)]
        assert at[0].max() == pytest.approx(bound) == at[1].min()
        assert at[1].max() == pytest.approx(EVIDENCE)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("mean of $q$", "nats")


LINES = {
    "start": [log_evidence],
    "sorted": [E(q, log_lik), -KL(q, prior), KL(q, post)],
    "bound": [E(q, log_lik), -KL(q, prior)],
    "wrong": [E(q, log_lik), -KL(q, prior), E(q, log_q - log_lik)],
}


def test_rows_lie_end_to_end_and_arrive_at_the_sum(ax: Axes) -> None:
    lines = {name: diagrams.labeled(terms, TOY) for name, terms in LINES.items()}
    assert diagrams.term_rows(ax, lines, EVIDENCE) is ax
    bars = [patch for patch in ax.patches if patch.get_height() == pytest.approx(0.6)]
    values = [value for terms in lines.values() for _, value in terms]
    assert [bar.get_width() for bar in bars] == pytest.approx(values, abs=1e-12)
    first = 0
    for terms in lines.values():
        block = bars[first : first + len(terms)]
        assert block[0].get_x() == 0
        for above, below in pairwise(block):
            assert below.get_x() == pytest.approx(above.get_x() + above.get_width(), abs=1e-12)
        first += len(terms)
    assert arrivals(ax) == pytest.approx([EVIDENCE, EVIDENCE, BOUND, BOUND + 0.869717], abs=1e-6)
    assert ax.get_xlabel() == "nats"


def test_rows_say_how_far_a_line_is_from_the_level(ax: Axes) -> None:
    diagrams.term_rows(ax, {name: diagrams.labeled(terms, TOY) for name, terms in LINES.items()}, EVIDENCE)
    words = texts(ax)
    assert "short by 0.13" in words and "beyond by 0.74" in words
    assert words.count("short by") == words.count("beyond by") == 1  # the other two lines arrive
    assert all(name in words for name in LINES)
    assert all(f"${term.latex}$" in words for terms in LINES.values() for term in terms)


@pytest.mark.parametrize("end, level", [(-1.78, -1.91), (-1.78, -1.78), (1.78, 1.9), (-1.78, -0.5)])
def test_no_number_lies_on_the_dashed_line(ax: Axes, end: float, level: float) -> None:
    diagrams.term_rows(ax, {"a line": [("a", end)]}, level)
    ax.figure.set_size_inches(7.5, 3)
    (number,) = [text for text in ax.texts if text.get_text() == diagrams.signed(end) and text.get_fontsize() == 8]
    box = number.get_window_extent().transformed(ax.transData.inverted())
    assert not box.x0 <= level <= box.x1


@pytest.mark.parametrize("lines", [{}, {"start": []}])
def test_rows_without_terms_are_refused(ax: Axes, lines: dict[str, list[tuple[str, float]]]) -> None:
    with pytest.raises(ValueError, match="at least one term"):
        diagrams.term_rows(ax, lines, 0.0)


def test_jensen_marks_log_of_mean_above_mean_of_log(ax: Axes) -> None:
    weights, probabilities = np.array([0.5, 1.0, 4.0]), np.array([0.2, 0.5, 0.3])
    assert diagrams.jensen(ax, weights, probabilities) is ax
    marks = {line.get_marker(): float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() in ("s", "^")}
    assert marks["s"] == pytest.approx(np.log(1.8))
    assert marks["^"] == pytest.approx(0.2 * np.log(0.5) + 0.3 * np.log(4.0))
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.column_stack([weights, np.log(weights)]))
    assert f"gap {marks['s'] - marks['^']:.2f}" in texts(ax)
    assert "weight" in ax.get_xlabel() and "nats" in ax.get_ylabel()


@pytest.mark.parametrize(
    ("weights", "probabilities", "message"),
    [
        ([1.0, 0.0], [0.5, 0.5], "positive weights"),
        ([1.0, 2.0], [0.5, 0.3, 0.2], r"shapes \(2,\) and \(3,\)"),
        ([1.0, 2.0], [0.5, 0.4], "sum to one, but got 0.9"),
    ],
)
def test_jensen_refuses_what_is_no_distribution(
    ax: Axes, weights: list[float], probabilities: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        diagrams.jensen(ax, weights, probabilities)


@pytest.mark.parametrize(("value", "text"), [(-1.782, "−1.78"), (0.5, "0.50"), (-1e-12, "0.00")])
def test_number_has_two_decimals_and_a_true_minus(value: float, text: str) -> None:
    assert diagrams.signed(value) == text


def test_bound_and_gap_differ_in_brightness() -> None:
    dark, light = (np.dot(to_rgb(color), [0.299, 0.587, 0.114]) for color in (diagrams.BOUND, diagrams.GAP))
    assert light - dark > 0.35


def test_picture_of_the_readme_is_light_and_reproducible(tmp_path: Path) -> None:
    first, again = picture.save(tmp_path / "a"), picture.save(tmp_path / "b")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert 5_000 < one.stat().st_size < 150_000


def test_graphical_model_has_two_kinds_of_arrows_and_one_observed_node(ax: Axes) -> None:
    diagrams.graphical_model(ax)
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert sorted(arrow.get_linestyle() for arrow in arrows) == ["-", "-", "--", "--"]
    words = {text.get_text() for text in ax.texts}
    assert {"$z$", "$x$", r"$\theta$", r"$\varphi$", "$N$", r"$q_\varphi(z|x)$"} <= words
    grey = [patch for patch in ax.patches if to_rgb(patch.get_facecolor()) == to_rgb("lightgrey") and patch.get_fill()]
    assert len(grey) == 1


def test_graphical_model_without_inference_has_solid_arrows_alone(ax: Axes) -> None:
    diagrams.graphical_model(ax, inference=False)
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert [arrow.get_linestyle() for arrow in arrows] == ["-", "-"]
    assert not any("varphi" in text.get_text() for text in ax.texts)
