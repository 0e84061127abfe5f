"""Reading LaTeX: each trap has its right reading, each refusal points at its place; nothing is guessed in silence."""

from __future__ import annotations

import math
import pickle
import time

import numpy as np
import pytest

from vaelib.derivation import IllTyped
from vaelib.distributions import Normal
from vaelib.formula import Map, Scope, Unreadable, tex
from vaelib.formula.tree import Number, Span
from vaelib.formula.worlds import Law, Table

JOINT = np.array([[0.1, 0.25, 0.05], [0.3, 0.1, 0.2]])  # p(h, x)
SCOPE = Scope(
    worlds={
        "p": Table(("h", "x"), JOINT),
        "q": Law("z", Normal(0.3, 0.8)),
        r"\bar q": Law("z", Normal(-0.4, 1.3)),
        "d_p": Law("z", Normal(0.1, 0.5)),
    },
    observed={"x": 2},
    values={
        **{
            "a": 1.7,
            "b": -0.6,
            "c": 2.3,
            "y": 0.9,
            r"\mu": 0.4,
            r"\sigma": 1.2,
            r"\mu_q": -1.1,
            r"\sigma_r": 0.7,
            r"\mathrm{TV}": 0.25,
        },
        **{"v": np.array([0.5, -1.5, 2.0]), "A": np.array([[2.0, 0.3], [0.4, 1.5]]), "u": np.array([0.7, -0.2])},
        **{"t": np.array([1.5, 0.4, 2.2]), "b^*": 5.0, r"\theta'": 0.7},
    },
    ranges={"i": 3, "j": 3},
    laws={"": "q"},
    maps={"f": Map(lambda z: z**3 - z), "g": Map(np.sin)},
)
a, b, c, y, mu, sigma = 1.7, -0.6, 2.3, 0.9, 0.4, 1.2
t = np.array([1.5, 0.4, 2.2])
v = np.array([0.5, -1.5, 2.0])
f = lambda z: z**3 - z  # noqa: E731


def value(latex: str) -> float:
    result = tex(latex).value(SCOPE)
    return float(getattr(result, "value", result))


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        # fractions and slashes
        (r"a / 2c", a / (2 * c)),
        (r"\frac12 a", a / 2),
        (r"\tfrac12 a b", a * b / 2),
        (r"\frac1c a", a / c),
        (r"a / c f(y)", a / c * f(y)),
        (r"a / c (y + 1)", a / c * (y + 1)),
        (r"a / f(y) c", a / f(y) * c),
        (r"(a + 1)^2 / 2c^2", (a + 1) ** 2 / (2 * c**2)),
        (r"a / 2 \cdot c", a / 2 * c),
        (r"a / \mathbb{E}_q[z]", a / 0.3),
        (r"a / \det(A) c", a / 2.88 * c),
        (r"a c / y", a * c / y),
        (r"-a / 2c", -a / (2 * c)),
        (r"a^{-1/2}", a**-0.5),
        (r"\dfrac{a}{c}", a / c),
        (r"1/2", 0.5),
        # what a logarithm takes
        (r"\log a c", math.log(a * c)),
        (r"\log 2\pi\sigma^2", math.log(2 * math.pi * sigma**2)),
        (r"\log a + c", math.log(a) + c),
        (r"\log a \log c", math.log(a) * math.log(c)),
        (r"\log a - \log c", math.log(a) - math.log(c)),
        (r"\log \frac13 \sum_i t_i", math.log(t.mean())),
        (r"\log 2 \sum_i t_i", math.log(2 * t.sum())),
        (r"\log a \sum_i t_i", math.log(a) * t.sum()),
        (r"\log(a) c", math.log(a) * c),
        (r"\ln{\left(a\right)} c", math.log(a) * c),
        (r"\log{a}", math.log(a)),
        (r"\log{\frac{a}{c}} + c", math.log(a / c) + c),
        (r"\mathrm\mu", 0.4),
        (r"\log\left[a\right] c", math.log(a) * c),
        (r"y \log a c", y * math.log(a * c)),
        (r"\log_2 a", math.log2(a)),
        (r"\log^2 a", math.log(a) ** 2),
        (r"\ln a", math.log(a)),
        (r"log a + exp(b)", math.log(a) + math.exp(b)),
        (r"{\rm log} a", math.log(a)),
        (r"\log\frac{a}{c}", math.log(a / c)),
        (r"\exp\frac{a}{c}", math.exp(a / c)),
        (r"\exp(a) c", math.exp(a) * c),
        (r"e^{a} e^{-a}", 1.0),
        (r"\mathrm{softplus}(a) - \mathrm{sigmoid}(b)", math.log1p(math.exp(a)) - 1 / (1 + math.exp(-b))),
        (r"\mathrm{expm1}(a) - 2\,\mathrm{log1p}(a)", math.expm1(a) - 2 * math.log1p(a)),
        (r"\frac{a^3}{3!} + (2 \cdot 3 - 1)!! + 6!! + 0!", a**3 / 6 + 15 + 48 + 1),
        (r"\sum_{k=0}^{2} (2k - 1)!!", 1 + 1 + 3),
        # what a sum takes
        (r"\sum_i t_i + a", t.sum() + a),
        (r"\sum_i t_i a", t.sum() * a),
        (r"a \sum_i \left(t_i + c\right)", a * (t + c).sum()),
        (r"\sum_{i=1}^{2} t_i", t[:2].sum()),
        (r"\sum_{i=1}^3 i", 6.0),
        (r"\sum_{i=1}^3 i t_i", (np.arange(1, 4) * t).sum()),
        (r"\sum_{i,j} t_i v_j", t.sum() * v.sum()),
        (r"\sum_{j \ne 2} t_j", t[[0, 2]].sum()),
        (r"\sum_i t_i \sum_{j \le i} v_j", (t * np.cumsum(v)).sum()),
        (r"\prod_i t_i", t.prod()),
        (r"\max_i t_i", 2.2),
        (r"\textstyle\sum_i t_i", t.sum()),
        (r"\sum_i a", 3 * a),
        # names: what hangs on them is never lost
        (r"\mathrm{TV}^2", 0.0625),
        (r"\text{TV}^2", 0.0625),
        (r"\theta'", 0.7),
        (r"b^*", 5.0),
        (r"b^{*} - b", 5.6),
        (r"\mu_q", -1.1),
        (r"\mu_{q}", -1.1),
        (r"t_2", 0.4),
        (r"t^{(2)}", 0.4),
        (r"\mathbf{v}_1", 0.5),
        (r"f'(y)", 3 * y**2 - 1),
        (r"f(y)^2", f(y) ** 2),
        (r"f(y)\,(a + c)", f(y) * (a + c)),
        (r"\mu^2_q", 1.21),
        (r"\sigma^{2}_{r}", 0.49),
        (r"\sigma^{-1}_{r}", 1 / 0.7),
        (r"\|v\|_2^2", (v**2).sum()),
        # a call where the scope knows a function, a product where it knows a value
        (r"\mu(a - c)", mu * (a - c)),
        (r"\mu(a - c)^2", mu * (a - c) ** 2),
        (r"\mu\,(a - c)", mu * (a - c)),
        (r"f(a - c)", f(a - c)),
        (r"2(a - c)", 2 * (a - c)),
        (r"a^2(a - c)", a**2 * (a - c)),
        # bars by context
        (r"|b|", 0.6),
        (r"\left|b\right| a", 0.6 * a),
        (r"|A|", 2 * 1.5 - 0.3 * 0.4),
        (r"\log|A|", math.log(2 * 1.5 - 0.3 * 0.4)),
        (r"\|v\|^2", (v**2).sum()),
        (r"||v||^2", (v**2).sum()),
        (r"\lVert v\rVert", math.sqrt((v**2).sum())),
        (r"|a||b|", a * 0.6),
        # vectors and matrices
        (r"u^\top A u", np.array([0.7, -0.2]) @ np.array([[2.0, 0.3], [0.4, 1.5]]) @ np.array([0.7, -0.2])),
        (r"u^T u", 0.53),
        (r"\mathrm{tr}(A + I)", 5.5),
        (r"\mathrm{tr}(u u^\top)", 0.53),
        (r"\det(2 A)", 4 * 2.88),
        (r"A_{12} + A_{2,1}", 0.7),
        (r"(A^{-1})_{11}", 1.5 / 2.88),
        # densities
        (r"\log p(x) - \log \sum_h p(x, h)", 0.0),
        (r"\log p(x \mid h) p(h) - \log p(x, h), \quad h = 1", 0.0),
        (r"\sum_h p(h \vert x)", 1.0),
        (r"\sum_h p(h | x)", 1.0),
        (r"\sum_{h'} p(x|h') p(h')", 0.25),
        (r"\int \bar q(z)\,dz", 1.0),
        (r"\int d_p(z) z\,dz", 0.1),
        (r"\int q(z) z dz", 0.3),
        (r"\int dz\, q(z) z", 0.3),
        (r"\int_z q(z) z", 0.3),
        (r"\int q(z) z\,\mathrm{d}z", 0.3),
        (r"\int q(z) z\, d z", 0.3),
        (r"\int_{-\infty}^{\infty} q(z) z\,dz", 0.3),
        (r"\int_{-\infty}^\infty z\,q(z)\,dz + \int_0^\infty q(z)\,dz", 0.3 + 0.6461697666727237),
        (r"\mathbb{E}_{x, h \sim p(x, h)}[x h]", 0.1 + 2 * 0.2),
        (r"\int_0^1 a s^2 ds", a / 3),
        (r"\int_1^0 a s^2 ds", -a / 3),
        (r"N(a; b, 4)", math.exp(-((a - b) ** 2) / 8) / math.sqrt(8 * math.pi)),
        (r"\mathcal{N}(a; b, 4)", math.exp(-((a - b) ** 2) / 8) / math.sqrt(8 * math.pi)),
        # divergences and expectations in all their spellings
        (r"\mathbb{E}_q[z]", 0.3),
        (r"\mathbb{E}_{q(z)}\left[z\right]", 0.3),
        (r"\mathbb E_{z \sim q(z)}[z]", 0.3),
        (r"\mathbb{E}_{z\sim q} z", 0.3),
        (r"E_q[z]", 0.3),
        (r"\mathop{\mathbb{E}}_{q}[z]", 0.3),
        (r"\mathbb{E}_q[z]^2", 0.09),
        (r"\mathbb{E}_{N(a, 4)}[z^2]", a**2 + 4),
        (r"\mathrm{Var}_q[z]", 0.64),
        (r"\mathrm{Cov}_q(z, z)", 0.64),
        # definitions and quantifiers
        (r"m^2 + a,\quad m = c - 1", (c - 1) ** 2 + a),
        (r"\sum_i w_i,\ w_i = t_i^2", (t**2).sum()),
        (r"w_2 + w_1,\ w_k = t_k^2", (t[:2] ** 2).sum()),
        (r"u_q u_p^2,\ u_q = a,\ u_p = b", a * b**2),  # two names with an index, none of them running
        (r"u_q u_p,\ u_p = u_q + b,\ u_q = a", a * (a + b)),
        (r"\underset{z \sim q}{\mathbb{E}}[z]", 0.3),
    ],
)
def test_latex_is_read_as_its_value(latex: str, expected: float) -> None:
    assert value(latex) == pytest.approx(expected, rel=1e-9, abs=1e-12)


KL_QD = math.log(0.5 / 0.8) + (0.64 + 0.04) / 0.5 - 0.5


@pytest.mark.parametrize(
    "latex",
    [
        r"\mathrm{KL}(q \,\Vert\, d_p)",
        r"\mathrm{KL}\left(q(z) \| d_p(z)\right)",
        r"KL(q || d_p)",
        r"D_{KL}(q \parallel d_p)",
        r"D_{\mathrm{KL}}\left[q(z)\,\middle\|\,d_p(z)\right]",
        r"\mathbb{D}_{KL}(q(z)|d_p(z))",
        r"{\rm KL}(q, d_p)",
        r"\KL{q}{d_p}",
        r"\mathrm{KL}(q \mid\mid d_p)",
        r"\mathrm{H}(q, d_p) - \mathrm{H}(q)",
        r"\int q(z) \log\frac{q(z)}{d_p(z)}\,dz",
        r"\mathbb{E}_q[\log q - \log d_p]",
        r"\mathbb{E}_q \log \frac{q(z)}{d_p(z)}",
    ],
)
def test_divergence_is_read_in_every_spelling(latex: str) -> None:
    assert value(latex) == pytest.approx(KL_QD, rel=1e-9)


def test_braces_that_are_not_seen_change_nothing() -> None:
    assert tex(r"{L}_K") == tex(r"L_K") and tex(r"a {b c}") == tex(r"a b c") and tex(r"{\mu}_q^2") == tex(r"\mu_q^2")


def test_product_below_a_logarithm_is_not_the_product_with_a_logarithm() -> None:
    inside = tex(r"\log p(x \mid z) p(z)")
    assert inside == tex(r"\log p(x \mid z)\,p(z)")
    assert inside != tex(r"\log\left(p(x \mid z)\right)\,p(z)")
    assert inside.plain == "log p(x|z) p(z)"


def test_forall_gives_one_entry_for_each_value() -> None:
    both = tex(r"p(x, h) / p(x) \quad \forall h").value(SCOPE)
    np.testing.assert_allclose(both, JOINT[:, 2] / JOINT[:, 2].sum())
    every = tex(r"p(x, h) \quad \forall h, x").value(SCOPE)
    np.testing.assert_allclose(every, JOINT)


# -------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("latex", "at", "says"),
    [
        (r"a + ", 4, "Expected a formula, but got the end"),
        (r"x_)", 2, "Expected a letter, a digit or braces, but got )."),
        (r"\frac+2", 5, "Expected an argument, but got +."),
        (r"(a + b", 6, r"Expected ) to close the ( opened before"),
        (r"(a + b]", 6, r"Expected ) to close the ("),
        (r"a + b)", 5, "closes nothing"),
        (r"\frac{a}{b", 10, "to close the {"),
        (r"\frac{a}{", 9, "Expected"),
        (r"\foo{a}", 0, r"\foo, which is not known"),
        (r"a \text{ on average}", 2, "words"),
        (r"\text{as computed}", 0, "have no value"),
        (r"x_1 + \ldots + x_n", 6, r"\ldots"),
        (r"1/2\sigma", 3, "in the denominator or not"),
        (r"\log a^2 (b + c)", 9, "log(a (b)) or (log a)(b)"),
        (r"\log(a)^2", 7, "(\\log a)^2 or \\log(a^2)"),
        (r"\log a / b", 7, "two things"),
        (r"a / \log b", 4, "behind a slash"),
        (r"a / \sum_i b", 4, "behind a slash"),
        (r"\mathbb{E}(a - b)^2", 17, "E[(a)^2] or (E[a])^2"),
        (r"\int q(z) \log q(z)", 0, "Expected the dz"),
        (r"q(z) dz", 5, "Expected an integral before dz"),
        (r"a^b^c", 3, "Expected one exponent"),
        (r"n^2!", 3, "before !"),
        (r"f(a)!", 4, "before !"),
        (r"n!!!", 3, "Expected an operator"),
        (r"a 2", 2, "a number in front"),
        (r"2 3", 2, "a number in front"),
        (r"1e-3", 0, "a power of ten"),
        (r"\mathop{argmax}_q c", 8, "the word argmax"),
        (r"a + fixed", 4, "the word fixed"),
        (r"{E}_q[z]", 0, "without braces"),
        (r"{H}(q)", 0, "without braces"),
        (r"a_\mathbb{E}", 10, "sign of an expectation"),
        (r"{a}{c}", 3, r"is \frac missing"),
        (r"a {2 c}", 2, "in braces"),
        (r"\log{a} c", 8, "braces are not seen"),
        (r"\log{a + c}", 4, "braces are not seen".replace("braces are", "they are")),
        (r"\mathrm{\foo}", 0, "no value"),
        ("a \\", 2, "Expected"),
        (r"\|v\|_1", 0, "the Euclidean length"),
        (r"\mathrm{KL}(q)", 13, r"Expected \Vert between"),
        (r"\mathrm{KL}", 11, "two laws in brackets"),
        (r"\log", 4, "what the log is taken of"),
        (r"\sum a_i", 5, "what it runs over"),
        (r"\sum_i", 6, "what a sum is taken of"),
        (r"\overline{x^2}", 11, "over one letter"),
        (r"{a + b} c", 0, "braces around a sum"),
        (r"\left. a \right)_b", 5, r"Expected \right|"),
        (r"p(x, \cdot)", 5, r"\cdot"),
        (r"", 0, "Expected a formula"),
        (r"|a", 0, "a bar to close"),
        (r"\lim_{c \to 0} c", 0, r"\lim"),
        (r"\nabla^{a} f", 11, "order of a derivative"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(latex: str, at: int, says: str) -> None:
    with pytest.raises(Unreadable) as caught:
        tex(latex)
    assert says in caught.value.message
    assert caught.value.where.start == at, str(caught.value)
    line, caret = str(caught.value).split("\n")[1:3]
    assert caret.index("^") == at and line == latex


def test_refusal_crosses_to_another_process() -> None:
    with pytest.raises(Unreadable) as caught:
        tex(r"\log p(x \mid z) + ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.where == caught.value.where


def test_refusal_says_how_the_part_before_was_read() -> None:
    with pytest.raises(Unreadable, match=r"Before that I read: log p\(x\|z\)"):
        tex(r"\log p(x \mid z) + ")


def test_caret_stands_in_the_right_row_of_a_long_source() -> None:
    source = "a +\n" + "b + " * 60 + r"\foo"
    with pytest.raises(Unreadable) as caught:
        tex(source)
    line, caret = caught.value.where.caret().split("\n")
    assert line[caret.index("^") :] == r"\foo"
    assert Span("ab\ncd", 4, 5).caret() == "cd\n ^"


@pytest.mark.parametrize(
    ("latex", "says"),
    [
        (r"\mu_r", r"Is \mu_q or \mu or"),
        (r"\sum_i t_i + t_i", "i of t_i is outside of any"),
        (r"\log q(z)", "z is left free"),
        (r"\mathbb{E}[a]", "which does not occur"),
        (r"a + v", "a number and a vector"),
        (r"\log A", "a matrix"),
        (r"v v", "Is a transpose missing"),
        (r"f^2(y)", r"write f(...)"),
        (r"\sum_k a", "the range"),
        (r"\sum_z q(z)", "is a real number"),
        (r"h(a)", "that the scope knows"),
        (r"t_4", "from 1 to 3"),
        (r"\partial_\mu \log q(a)", "would not move with it"),
        (r"I", "nothing says its size"),
        (r"\log|2 I|", "a size that nothing says"),
        (r"a \ge b", "a line with one value"),
        (r"a = c", "agree"),
        (r"\mathrm{KL}(q \Vert r)", "a law that the scope knows"),
        (r"u^\top v", "sizes that fit"),
        (r"v^2", "squared norm"),
        (r"\mathbb{E}_p[h]", "write p(x)"),
        (r"\left. a \right|_{a > 1}", "a place such as"),
        (r"\left. a \right|_{a = 1}", "below the bar, but got a"),
    ],
)
def test_what_has_no_meaning_is_refused_in_words(latex: str, says: str) -> None:
    with pytest.raises(IllTyped) as caught:
        tex(latex).value(SCOPE)
    assert says in str(caught.value)


def test_error_of_a_value_points_into_the_source() -> None:
    with pytest.raises(IllTyped) as caught:
        tex(r"a + \log(c + v)").value(SCOPE)
    line, caret = str(caught.value).split("\n")[1:3]
    assert line[caret.index("^") :] == "c + v)"


# ------------------------------------------------------------------------------------------------------ robustness


@pytest.mark.parametrize("piece", ["(", "{", r"\frac{", "[", r"\log ", "a^{", "|", r"\left(", "p(", r"\sqrt{", "-("])
def test_a_hundred_thousand_brackets_are_refused_not_a_recursion_error(piece: str) -> None:
    with pytest.raises(Unreadable):
        tex(piece * (90_000 // len(piece)))
    with pytest.raises(Unreadable, match=r"levels|formula"):
        tex(piece * 200)


def test_source_of_a_million_characters_is_refused_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(Unreadable, match="at most"):
        tex("(" * 1_000_000)
    assert time.perf_counter() - start < 1


def test_long_flat_sum_is_read_and_evaluated() -> None:
    assert value("a" + " + a" * 5000) == pytest.approx(5001 * a)


def test_deepest_formula_that_is_read_also_has_a_value() -> None:
    depth = 20
    assert value("(" * depth + "a" + ")" * depth) == a
    assert value(r"\frac{" * depth + "a" + "}{2}" * depth) == pytest.approx(a / 2**depth)


def test_reader_runs_nothing() -> None:
    for source in ("__import__('os').system('true')", "a.b", "a; b", "lambda: a"):
        with pytest.raises((Unreadable, IllTyped)):
            value(source)


def test_text_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected LaTeX as a string"):
        tex(3)  # type: ignore[arg-type]
    assert tex("3") == Number("3")


@pytest.mark.parametrize("name", ["", "m", "mm"])
def test_what_only_the_page_needs_is_left_out_with_its_argument(name: str) -> None:
    assert tex(rf"a \label{{{name}}} - b").value(SCOPE) == pytest.approx(a - b)
    assert tex(rf"a \hspace {{{name}}}- b").value(SCOPE) == pytest.approx(a - b)
    assert tex(rf"a - b \tag{{{name}").value(SCOPE) == pytest.approx(a - b)  # nobody closed it


def test_entries_are_refused_of_what_has_too_few_axes_or_no_size() -> None:
    for latex, why in {
        "(v)_{1,2}": "as many indices as axes, but it is a vector",
        "(A)_{1,1,1}": "as many indices as axes, but it is a matrix",
        "(I)_{1,1}": "a known size, but it is the identity alone",
        "(2I)_{1}": "a known size, but it is the identity alone",
    }.items():
        with pytest.raises(IllTyped, match=why):
            tex(latex).value(SCOPE)


def test_index_that_is_not_whole_is_named() -> None:
    for latex, wrong in {"(v)_y": "0.9", r"(v)_{1/0}": "inf", r"\sum_i (v)_{(i + 1) / 2}": "1.5"}.items():
        with pytest.raises(IllTyped, match=f"a whole number as an index of .*, but got {wrong}"):
            tex(latex).value(SCOPE)


def test_factorial_of_what_has_none_is_refused_by_name() -> None:
    for latex, why in {
        "y!": "whole numbers from 0 before !, but got 0.9",
        r"\sum_i (2 - i)!": "whole numbers from 0 before !, but got -1",
        r"\sum_i (1 - i)!!": "whole numbers from -1 before !!, but got -2",
        "v!": "a number before !, but got a vector",
    }.items():
        with pytest.raises(IllTyped, match=why):
            tex(latex).value(SCOPE)
