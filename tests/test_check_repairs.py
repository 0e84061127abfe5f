r"""The nearest right line of people's documents: in their letters, and right when it is put in."""

from __future__ import annotations

import pytest

from vaelib.check import as_dict, check_text, lines
from vaelib.check.roles import letter_of
from vaelib.check.verdicts import Judged


def broken(text: str) -> Judged:
    """The one line that does not follow."""
    (found,) = (judged for judged in check_text(text).lines if judged.verdict == "does not follow")
    return found


def display(*rows: str) -> str:
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n$$\n"


PRICE = r"\mathbb{E}_{q_\phi(z|x)}[\log p_\theta(x|z)]"
SLIPS = {
    "a sign, in the letters of the document": (
        display(
            r"\log P_\theta(X) &= \mathbb{E}_{Q(h)}[\log P_\theta(X|h)] + KL(Q(h) \| P(h)) + KL(Q(h) \| P_\theta(h|X))"
        ),
        r"= \mathbb{E}_{Q(h)}[\log P_{\theta}(X \mid h)] - \mathrm{KL}(Q(h) \,\Vert\, P(h))"
        r" + \mathrm{KL}(Q(h) \,\Vert\, P_{\theta}(h \mid X))",
    ),
    "a logarithm": (
        display(r"KL(q(z) \| p(z|x)) &= \mathbb{E}_q[\log q(z) - \log p(z|x)]", r"&= \mathbb{E}_q[\log q(z) - p(z|x)]"),
        r"= \mathbb{E}_{q(z)}[\log q(z) - \log p(z \mid x)]",
    ),
    "a divergence the wrong way round": (
        r"$$\log p(x) = \mathbb{E}_{q(z)}\left[\log\frac{p(x,z)}{q(z)}\right] + KL(p(z|x) \| q(z))$$",
        r"= \mathbb{E}_{q(z)}\left[\log\frac{p(x, z)}{q(z)}\right] + \mathrm{KL}(q(z) \,\Vert\, p(z \mid x))",
    ),
    "a sum stays a sum": (
        r"$$KL(q \| p) = \sum_z q(z) \log\frac{p(z|x)}{q(z)}$$",
        r"= -\sum_{z} q(z) \log\frac{p(z \mid x)}{q(z)}",
    ),
    "another density, known by its company": (
        display(
            r"\log p(x) &= \int q(z) \log\frac{p(x|z) p(z)}{p(z|x)}\,dz",
            r"&= \int q(z) (\log p(x|z) + \log\frac{p(x)}{q(z)} + \log\frac{q(z)}{p(z|x)})\,dz",
        ),
        r"= \int q(z) \left(\log p(x \mid z) + \log\frac{p(z)}{q(z)} + \log\frac{q(z)}{p(z \mid x)}\right)\,dz",
    ),
    "a bound in the wrong direction": (
        r"$$\log p(x) \le \mathbb{E}_{q(z)}[\log p(x,z) - \log q(z)]$$",
        r"\ge \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]",
    ),
    "an equals sign for a bound": (
        rf"$$\log p_\theta(x) = {PRICE} - KL(q_\phi(z|x) \| p(z))$$",
        r"\ge \mathbb{E}_{q_{\phi}(z \mid x)}[\log p_{\theta}(x \mid z)]"
        r" - \mathrm{KL}(q_{\phi}(z \mid x) \,\Vert\, p(z))",
    ),
    "a bound that is met by the posterior": (
        r"$$\log p(x) \ge \mathbb{E}_{q(z)}[\log p(x|z)] + KL(q(z) \| p(z))$$",
        r"\ge \mathbb{E}_{q(z)}[\log p(x \mid z)] - \mathrm{KL}(q(z) \,\Vert\, p(z))",
    ),
    "a draw with the variance for the scale": (
        r"$$z = \mu_\phi(x) + \sigma^2_\phi(x) \epsilon$$",
        r"= \mu + \sigma \epsilon",
    ),
    "a density where a map is meant": (
        r"$$z \sim q_\phi(z|x)$$" "\n\n" r"$$\tilde z = q_\phi(\epsilon, x)$$",
        r"= g_{\phi}(\epsilon,x)",
    ),
    "the variable of an integral": (
        r"$$KL(q(z|x) \| p(z|x)) = \int q(z|x) \log\frac{q(z|x)}{p(z|x)} d\phi$$",
        r"= \int q(z \mid x) \log\frac{q(z \mid x)}{p(z \mid x)}\,dz",
    ),
    "an operator left out": (
        r"$$\theta^{t+1} = \arg\max_\theta \int p(z|x,\theta^t) \log p(x,z|\theta) dz"
        r" = \mathbb{E}_{z|x,\theta^t}[\log p(x,z|\theta)]$$",
        r"= \arg\max_{\theta} \mathbb{E}_{p(z \mid x, \theta^{t})}[\log p(x, z \mid \theta)]",
    ),
    "one sample": (
        r"$$\mathcal{L}(x) := \mathbb{E}_{q(z)}[\log p(x|z)] - KL(q(z) \| p(z))$$"
        "\n\n"
        r"$$\mathcal{L}(x) \approx \log p(x|z) + KL(q(z) \| p(z))$$",
        r"\approx \log p(x \mid z) - \mathrm{KL}(q(z) \,\Vert\, p(z))",
    ),
    "a closed form": (
        r"$$KL(p \| q) = \log\frac{\sigma_q}{\sigma_p} + \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{\sigma_q^2} - \frac12$$",
        r"= \log\frac{\sigma_q}{\sigma_p} + \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{2 \sigma_q^2} - \frac{1}{2}",
    ),
}


@pytest.mark.parametrize("text, right", SLIPS.values(), ids=list(SLIPS))
def test_one_slip_is_mended_in_the_letters_of_the_document(text: str, right: str) -> None:
    assert broken(text).repair.replace(r"\tfrac", r"\frac") == right


@pytest.mark.parametrize("text", [text for text, right in SLIPS.values() if "aligned" in text or r"\begin" in right])
def test_a_repair_follows_where_it_is_put(text: str) -> None:
    wrong = broken(text)
    shown = wrong.line.source.lstrip("= ")
    again = check_text(text.replace(shown.split("=", 1)[-1].strip(), wrong.repair.partition(" ")[2]))
    assert [judged.verdict for judged in again.lines if judged.line.relation] == ["follows"] * again.total


def test_the_line_above_is_mended_where_that_is_nearer() -> None:
    text = display(
        r"\log p(x) &\ge \mathbb{E}_{q(z)}[\log p(x|z) + \log p(z)] - \mathbb{E}_{q(z)}[q(z)]",
        r"&= \mathbb{E}_{q(z)}[\log p(x|z) + \log p(z)] + H[q(z)]",
    )
    wrong = broken(text)
    assert wrong.repairs_above
    assert wrong.repair == (r"\ge \mathbb{E}_{q(z)}[\log p(x \mid z) + \log p(z)] - \mathbb{E}_{q(z)}[\log q(z)]")
    assert any("in place of the one above" in line for line in lines(check_text(text)))


@pytest.mark.parametrize(
    "text",
    [
        r"$$KL(q(z) \| p(z|x)) = \mathbb{E}_q[p(z|x) + q(z)]$$",  # two logarithms and a sign
        r"$$1 = \int q(z) \log q(z)\,dz$$",  # the goal is the same everywhere
        r"$$\log p(x) = \log \int q(z) p(x|z)\,dz$$",  # several fit: p(z) for q(z), p(x) for p(x|z)
    ],
)
def test_nothing_is_named_where_nothing_or_several_fit(text: str) -> None:
    assert broken(text).repair == ""


def test_a_repair_is_in_the_report_and_in_the_table() -> None:
    checked = check_text(SLIPS["a logarithm"][0])
    assert as_dict(checked)["lines"][-1]["repair"] == SLIPS["a logarithm"][1]
    assert f"nearest right line: {SLIPS['a logarithm'][1]}" in "\n".join(lines(checked))
    assert [line["repair"] for line in as_dict(checked)["lines"][:-1]] == [None, None]


def test_looking_for_repairs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelib.check.repairing.TOTAL", 0.0)
    wrong = broken(SLIPS["a logarithm"][0])
    assert wrong.verdict == "does not follow" and wrong.repair == ""


def test_each_of_several_wrong_lines_is_mended():
    found = check_text(
        r"$$\log p(x) = E_q[\log p(x,z) - \log q(z)] - KL(q(z) \| p(z|x))$$"
        "\n\n"
        r"$$\log p(x) \ge E_q[\log p(x|z)] + KL(q(z) \| p(z))$$"
    ).lines
    assert [bool(judged.repair) for judged in found if judged.verdict == "does not follow"] == [True, True]


def test_long_line_is_cut_in_the_table_and_a_short_one_is_not():
    short, long = r"\log p(x) = \log p(x)", r"\log p(x) = " + " + ".join(["0"] * 60) + r" + \log p(x)"
    shown = lines(check_text(f"$${short}$$\n\n$${long}$$"))
    assert any(row.endswith(f" {short}") for row in shown)
    assert any(row.endswith("...") and long[:30] in row for row in shown) and max(map(len, shown)) <= 120


@pytest.mark.parametrize("mark", [r"\hat", r"\bar", ""])
def test_index_belongs_to_a_letter_under_a_mark_too(mark):
    entry = [mark, ["x"]] if mark else ["x"]
    assert letter_of([*entry, "_", ["t", "-", "1"]]) == ("x", "t-1")
