r"""What no document of the corpus reaches: pages and their formulas, tables, limits, sentences of functions."""

from __future__ import annotations

import json
import re
import unicodedata
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from vaelib.check import as_dict, check_text, report
from vaelib.check.latex import CannotRead, grouped, macros_of, signs
from vaelib.check.mathml import DROPPED, as_mathml
from vaelib.check.mathml import prepared as to_be_set
from vaelib.check.options import Definition, Options
from vaelib.check.page import UNSEEN, page
from vaelib.check.reading import read
from vaelib.check.roles import Roles, call_at, closing, letter_of, told
from vaelib.check.surface import plain_word, resolved, surface
from vaelib.check.values import as_value, typed
from vaelib.check.verdicts import composed_with, sentence, severity, symbol_of
from vaelib.check.worlds import DATA, FAMILY, SAMPLES, Plan, Setting, scope, settings
from vaelib.check.written import typed as written_again
from vaelib.formula import tex
from vaelib.formula.environment import NoValue


def parts(latex: str) -> list:
    return surface(grouped([sign.text for sign in signs(latex)])).items


class Outline(HTMLParser):
    """The elements of a piece of HTML with their texts, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.open: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for at in self.open:
            tag, attributes, words = self.found[at]
            self.found[at] = (tag, attributes, words + data)

    def texts(self, tag: str, kind: str = "") -> list[str]:
        return [words for name, found, words in self.found if name == tag and (not kind or found.get("class") == kind)]


# -------------------------------------------------------------------------------------------------------------- MathML


@pytest.mark.parametrize(
    ("latex", "kept"),
    [
        (r"a \label{b} c", "a  c"),
        (r"a \tag*  {b {c} d} e", "a  e"),
        (r"a \label b", r"a b"),
        (r"a \label", "a"),
        (r"a \cite {b", "a"),
        (r"\color{red} a", "a"),
        (r"a \nonumber b & c \limits", "a b  c"),
        (r"\left( a \right)", r"\left( a \right)"),
        (r"\left( a", "( a"),
        (r"a \middle| b \right)", "a | b )"),
        (r"\left( a \middle| b \right)", r"\left( a \middle| b \right)"),
        (r"\E\KL\N\given", r"\mathbb{E}\mathrm{KL}\mathcal{N}\mid"),
        (r"\bx \bz \bm{a}", r"\mathbf{x} \mathbf{z} \mathbf{a}"),
        (r"\d x \dbsp\const", r"d x \quad\mathrm{const}"),
    ],
)
def test_what_is_set_is_without_labels_and_with_brackets_in_pairs(latex: str, kept: str) -> None:
    assert " ".join(to_be_set(latex, {}).split()) == " ".join(kept.split())


def test_macros_are_put_in_before_a_formula_is_set() -> None:
    macros = macros_of(r"\newcommand{\a}{\alpha}\newcommand{\b}{\b}\newcommand{\c}[1]{#1}")
    assert to_be_set(r"\a b", macros) == r"\alpha b"
    assert to_be_set(r"\a\c{x}", macros) == r"\alpha x"
    assert to_be_set(r"\a\b", macros) == r"\a\b"  # it has no end: as it was typed


def test_formulas_are_set_on_lines_by_themselves_or_among_words() -> None:
    for display, kind in ((True, "block"), (False, "inline")):
        ((_, found, _), *_) = Outline(as_mathml("x", display=display)).found
        assert found == {"xmlns": "http://www.w3.org/1998/Math/MathML", "display": kind, "alttext": "x"}


def test_formulas_of_the_greatest_length_are_set_and_longer_ones_are_shown_up_to_it() -> None:
    assert as_mathml("a" * 4000).startswith("<math")
    assert as_mathml("a" * 4001) == f"<code>{'a' * 4000}</code>"
    assert as_mathml("<" * 4001) == f"<code>{'&lt;' * 4000}</code>"


def test_control_characters_are_not_set_and_blanks_are() -> None:
    assert as_mathml("\x07" + "a\n\tb" * 4000).startswith("<code>\N{REPLACEMENT CHARACTER}a\n\tb")


LETTERS = {
    r"\mathcal{L}": "ℒ",
    r"\mathcal{A}": "𝒜",
    r"\mathcal{E}": "ℰ",
    r"\mathcal{H}": "ℋ",
    r"\mathcal{F}": "ℱ",
    r"\mathcal{B}": "ℬ",
    r"\mathcal{I}": "ℐ",
    r"\mathcal{M}": "ℳ",
    r"\mathcal{R}": "ℛ",
    r"\mathbf{x}": "𝐱",
    r"\mathbb{A}": "𝔸",
    r"\mathfrak{g}": "𝔤",
    r"\mathsf{a}": "𝖺",
    r"\mathtt{a}": "𝚊",
    r"\boldsymbol{\mu}": "𝝁",
    r"\boldsymbol{\Sigma}": "𝜮",
    r"\mathbf{+}": "+",
}


@pytest.mark.parametrize("latex", LETTERS)
def test_letters_of_a_font_are_letters(latex: str) -> None:
    assert Outline(as_mathml(latex)).found[0][2] == LETTERS[latex]
    assert "mathvariant" not in as_mathml(latex)


def test_letters_without_a_font_are_as_they_are() -> None:
    assert Outline(as_mathml(r"x \mathrm{d} \text{abcde}")).found[0][2].split() == ["xdabcde"]


@pytest.mark.parametrize(
    ("latex", "spaces"),
    [(r"\log p", 1), (r"\log (p)", 0), (r"\log [p]", 0), (r"\log \{ p", 0), (r"\log |p|", 0), (r"l p", 0)],
)
def test_functions_are_followed_by_a_space_unless_a_bracket_opens(latex: str, spaces: int) -> None:
    found = [attributes for name, attributes, _ in Outline(as_mathml(latex)).found if name == "mspace"]
    assert found == [{"width": "0.17em"}] * spaces


def test_elements_and_attributes_that_a_page_may_not_hold_are_left_out() -> None:
    found = Outline(
        as_mathml(r"\href{javascript:a}{x} \text{a} \frac{a}{b} \left( c \right) \bar{x} \underline{y}")
    ).found
    names = {name for name, _, _ in found}
    assert {"mfrac", "mtext", "mover", "mrow"} <= names and not names & {"a", "maction", "semantics", "munder"}
    assert {key for _, attributes, _ in found for key in attributes} <= {
        *("xmlns", "display", "alttext", "stretchy", "fence", "form", "accent", "class", "width", "separator"),
    }
    assert ("mrow", "under") in [(name, attributes.get("class")) for name, attributes, _ in found]


def test_every_label_takes_its_argument() -> None:
    assert {to_be_set(rf"a {word}{{b}}", {}) for word in DROPPED} == {"a"}


# ---------------------------------------------------------------------------------------------------------------- pages

GOOD = r"$$\log p(x) = \log \int p(x, z)\,dz$$"
BAD = r"$$\log p(x) \le \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]$$"


def shown(*texts: str, kind: str = "markdown") -> Outline:
    return Outline(page([check_text(text, kind) for text in texts]))


def test_titles_say_how_many_documents_there_are() -> None:
    one, two = shown(GOOD), shown(GOOD, BAD)
    assert one.texts("title") == one.texts("h1") == ["-, checked"]
    assert two.texts("title") == two.texts("h1") == ["Derivations, checked"]
    assert one.texts("h2") == ["The marks"] and two.texts("h2") == ["-", "-", "The marks"]


def test_legends_show_a_mark_for_each_verdict() -> None:
    assert [text.split(" ", 1)[0] for text in shown(GOOD).texts("li")] == ["✓", "✗", "≈", "≔", "?", "–"]
    assert shown(GOOD).texts("span", "mark follows") == ["✓ follows"] * 2


def test_links_lead_to_each_line_that_does_not_follow() -> None:
    found = shown(GOOD, BAD + "\n\nand\n\n" + BAD)
    links = [(attributes.get("href"), words) for name, attributes, words in found.found if name == "a"]
    assert links == [("#wrong-1-0", "row 1"), ("#wrong-1-1", "row 5")]
    places = [attributes.get("id") for _, attributes, _ in found.found if attributes.get("class") == "accusation"]
    assert places == ["wrong-1-0", "wrong-1-1"]
    assert found.texts("p")[0] == "1 of 1 lines judged; all that was read follows."
    assert "Lines that do not follow: row 1, row 5." in found.texts("p")


def test_paragraphs_and_headings_are_around_the_formulas() -> None:
    text = f"---\ntitle: a\n---\n# One\nwords $p(x)$ and\nmore\n\n###### Six\n{GOOD}\n<!-- no\n\nword -->end"
    found = shown(text)
    assert found.texts("h3") == ["One"] and found.texts("h6") == ["Six"]
    assert [words.replace("\n", " ") for words in found.texts("p", "text")] == ["words p(x) and more", "end"]
    assert len(found.texts("div", "block")) == 1


def test_head_that_never_ends_is_text() -> None:
    assert shown("---\n" + GOOD).texts("p", "text") == ["---"]


@pytest.mark.parametrize("around", ["$$\n{}\n$$", "\\[\n{}\n\\]", "$$ {} $$.", "> $$\n> {}\n> $$"])
def test_marks_around_a_display_are_not_shown(around: str) -> None:
    text = "before\n\n" + around.format(r"\log p(x) = \log \int p(x, z)\,dz") + "\n\nafter"
    assert shown(text).texts("p", "text") == ["before", "after"]


def test_formulas_in_a_line_of_words_are_set_there_and_shown_below_if_they_claim_something() -> None:
    found = shown(r"As $\log p(x) = \log \int p(x, z)\,dz$ and \(q\) and $$r$$ say, it is.")
    assert len(found.texts("math")) == 4 and len(found.texts("div", "block")) == 1
    assert "q" in found.texts("p", "text")[0] and "$" not in found.texts("p", "text")[0]
    assert len(shown("As $p(x)$ says, it is.").texts("div", "block")) == 0


def test_rows_with_three_sides_are_cut_in_front_of_each_relation() -> None:
    found = shown(GOOD.replace("$$", "").join(["$$", r" = \log \int p(x|z) p(z)\,dz$$"]))
    assert len(found.texts("div", "row")) == 3
    assert len(shown(GOOD).texts("div", "row")) == 1


def test_one_of_several_relations_in_a_row_that_cannot_be_cut_is_named() -> None:
    text = r"$$(\log p(x) = \log \int p(x, z)\,dz \le \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]$$"
    found = shown(text)
    assert found.texts("dt") == ["this part", "values", "nearest right line"]


def test_accusations_say_what_was_compared_and_both_values() -> None:
    rows = r"$$\begin{aligned}\log p(x) &= \log \int p(x, z)\,dz \\ &\le "
    rows += r"\int q(z) \log \frac{p(x, z)}{q(z)}\,dz\end{aligned}$$"
    found = shown(rows)
    assert found.texts("dt") == ["compared with", "values", "nearest right line"]
    (wrong,) = (judged for judged in check_text(rows).lines if judged.verdict == "does not follow")
    there, here = (f"{value:.6g}".replace("-", "\N{MINUS SIGN}") for value in wrong.values)
    assert found.texts("dd")[1] == f"{there} there, {here} here"
    assert found.texts("div", "row wrong") and len(found.texts("div", "row")) == 1
    assert found.texts("code") == [wrong.repair]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (r"$$\log p(x) = \mathcal{R} + 1$$", ["Nothing says what R means."]),
        (r"$$\log p(x) = \log p(x) + \dots$$", ["Expected a formula, but got dots, which have no value."]),
        (r"$$\log p(x) = \log (\int p(x, z)\,dz$$", ["Mended: a bracket."]),
        (r"$$z = g(\epsilon, x)$$", []),
        (GOOD, []),
    ],
)
def test_sentences_are_shown_below_what_is_not_judged(text: str, says: list[str]) -> None:
    assert shown(text).texts("p", "says") == says


def test_characters_that_are_not_seen_or_turn_a_line_round_are_replaced() -> None:
    turning = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    unseen = {c for c in map(chr, range(0x3000)) if unicodedata.category(c) == "Cc" and c not in "\t\n\r"}
    unseen |= {c for c in map(chr, range(0x3000)) if unicodedata.bidirectional(c) in turning}
    assert {chr(c) for c in UNSEEN} == unseen and set(UNSEEN.values()) == {"\N{REPLACEMENT CHARACTER}"}


# --------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("length", [68, 69])
def test_sources_of_at_most_68_characters_are_shown_whole(length: int) -> None:
    source = r"\log p(x) = \log p(x) + ".ljust(length, "0")
    assert report.lines(check_text(f"$${source}$$"))[1][14:] == (source if length == 68 else f"{source[:65]}...")


def test_repairs_are_in_the_json_where_there_are_any() -> None:
    assert [line["repair"] for line in as_dict(check_text(GOOD + "\n\nand\n\n" + BAD))["lines"]] == [
        *(None, None, None),
        r"\ge \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]",
    ]


def test_tables_have_a_row_for_each_line_and_what_is_said_below() -> None:
    text = "\n\n".join([GOOD, r"$$r = \log p(x)$$", r"$$\log p(x) = \mathcal{R}$$", BAD])
    found = report.lines(check_text(text))
    assert found[0] == "-: observed: x; latent: z; p: a model of them; q: any law of the latent variable; log: natural"
    assert found[1] == r"      1   ok  \log p(x) = \log \int p(x, z)\,dz"
    assert found[2] == r"      3  def  r = \log p(x)"
    assert found[3:5] == [r"      5   --  \log p(x) = \mathcal{R}", " " * 13 + "Nothing says what R means."]
    assert found[5] == r"      7   NO  " + BAD.strip("$")
    assert found[6] == " " * 13 + "≤ does not hold: see the values."
    assert re.fullmatch(r" {13}-?[\d.]+ there, -?[\d.]+ here", found[7])
    assert found[8] == " " * 13 + r"nearest right line: \ge \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]"
    assert found[9:] == [
        "3 of 4 lines judged (1 is a definition or an assumption, which claims nothing); 1 of them does not follow."
    ]


def test_several_lines_are_counted_as_several() -> None:
    text = "\n\n".join([r"$$r = \log p(x)$$", r"$$s = 2 \log p(x)$$", BAD, BAD])
    assert report.coverage(check_text(text)) == (
        "4 of 4 lines judged (2 are definitions or assumptions, which claim nothing); 2 of them do not follow."
    )


def test_values_that_are_not_finite_are_left_out_of_the_json() -> None:
    checked = check_text(BAD)
    wrong = checked.lines[-1]
    wrong.values = (float("inf"), 1.0)
    assert as_dict(checked)["lines"][-1]["values"] == [None, 1.0]
    assert as_dict(checked)["lines"][0]["values"] is None
    assert as_dict(checked)["lines"][0]["compared_with"] is None


def test_cells_are_named_in_the_table_and_in_the_json() -> None:
    cells = [{"cell_type": "markdown", "source": "words"}, {"cell_type": "markdown", "source": "\n" + BAD}]
    checked = check_text(json.dumps({"cells": cells}))
    assert report.lines(checked)[1].startswith("    2:2   NO  ")
    assert as_dict(checked)["lines"][-1]["says"] == "Cell 2: ≤ does not hold: see the values."
    assert "cell 2, row 2" in Outline(page([checked])).texts("a")


# ------------------------------------------------------------------------------------------------------------ sentences


READINGS = {
    r"$$p(a, b) = p(a) p(b | a)$$": ("b", "a", False),
    r"$$p(a, b) = p(b) p(a | b)$$\n\n$$p(a) = \int p(a, b)\,db$$": ("a", "b", False),
    r"$$p(a) = \sum_b p(a, b)$$": ("a", "b", False),
    r"$$p(a, c) = \int_b p(a, b, c)$$": ("a, c", "b", False),
    r"$$p(v, h) = p(v) p(h | v)$$": ("v", "h", False),
    r"$$\log p(x) = 2 \log p(x)$$": ("x", "", False),
    r"$$\log p(b) = 2 \log p(b)$$": ("", "b", False),
    r"$$\mathbb{E}_{x \sim p}[\log p(x)] = -H(p)$$": ("", "x", False),
    r"$$\mathbb{E}_{x \sim p(x)}[\log p(x)] = -H(p)$$": ("", "x", False),
    r"$$\mathbb{E}_{p(x)}[\log p(x)] = -H(p)$$": ("", "x", False),
    r"$$\mathbb{E}[\log p(x)] = -H(p)$$": ("", "x", False),
    r"$$\mathbb{E}_{x \sim p_{\text{data}}}[\log p(x)] = -H(p)$$": ("x", "", False),
    r"$$\mathbb{E}_{x \sim \mathcal{N}(\mu, \sigma^2)}[x] = \mu$$": ("", "x", False),
    r"$$\frac12 + \frac12 = 1$$": ("x", "z", False),
    r"$$\log p(x) \ge \mathbb{E}_q[\log p(x | z)] - KL(q \| p(z))$$": ("x", "z", True),
    r"$$q(y | x) q(z | y) = q(y, z | x)$$": ("x, y", "z", True),
    r"$$q(x_{t-1} | x_t) = p(x_{t-1} | x_t)$$": ("", "x", True),
    r"$$q(\theta) = p(\theta | x)$$": ("x", r"\theta", True),
    r"$$q(\theta) q(z) = p(z, \theta | x)$$": ("x", "z", True),
    r"$$Q(\theta | \theta^t) = \mathbb{E}_{p(z | x, \theta^t)}[\log p(x, z | \theta)]$$": ("x", "z", True),
    r"$$Q(q, \theta) = \mathbb{E}_{q(z)}[\log p_\theta(x, z)]$$": ("x", "z", True),
    r"$$p(\text{data} | z) = p(x | z)$$": ("x", "z", False),
    r"$$\log p(\mathcal{D}) \ge \mathbb{E}_{q(w)}[\log p(\mathcal{D} | w)] - KL(q(w) \| p(w))$$": ("D", "w", True),
    r"$$p(\epsilon) = p(z) p(x | z)$$": ("x", "z", False),
    r"$$p(x) = \int p(X, z)\,dz$$": ("X, x", "z", False),
}


@pytest.mark.parametrize("text", READINGS)
def test_who_is_who_is_said_in_one_line(text: str) -> None:
    observed, latent, guided = READINGS[text]
    parts_ = [f"observed: {observed}"] * bool(observed) + [f"latent: {latent}"] * bool(latent)
    guide = "; q: any law of the latent variable" if guided else ""
    assert check_text(text, "markdown").reading == "; ".join([*parts_, f"p: a model of them{guide}", "log: natural"])


@pytest.mark.parametrize("let", ["t", "=latent", "t=", "t=cat"])
def test_roles_that_cannot_be_told_are_named(let: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"but got {let!r}.")):
        told([let])
    assert told([" t = latent ", "b=data"]) == {"t": "latent", "b": "data"}


def test_calls_have_targets_givens_and_parameters() -> None:
    found = call_at(parts(r"p_\theta'(x, [y, a] | z; w, v) + 1"), 0)
    assert found is not None
    assert (found.letter, found.scripts, found.end) == ("p", ["_", [r"\theta"], "'"], 19)
    assert found.targets == [["x"], ["[", "y", ",", "a", "]"]]
    assert (found.givens, found.parameters) == ([["z"]], [["w"], ["v"]])
    assert call_at(["p"], 0) is None and call_at(["p", "(", "x"], 0) is None and call_at(["p", "_"], 0) is None


def test_brackets_close_each_other_whatever_their_kind() -> None:
    assert closing(list("a(b[c)d]"), 1) == 7
    assert closing(list("((a)"), 0) == -1
    assert closing(list("((a)"), 1) == 3


@pytest.mark.parametrize(
    ("entry", "letter"),
    [
        ("x_{t-1}", ("x", "t-1")),
        ("x^{(i)}", ("x", "")),
        ("x_a^2'", ("x", "a")),
        ("z = k", ("z", "")),
        ("x y", ("", "")),
        (r"\log x", ("", "")),
        (r"\dots", ("", "")),
        (r"\log_2", ("", "")),
        (r"\mu", (r"\mu", "")),
        ("3", ("", "")),
        (r"\hat{x}_2", ("x", "2")),
    ],
)
def test_letters_of_an_entry(entry: str, letter: tuple[str, str]) -> None:
    assert letter_of(parts(entry)) == letter


def test_marks_of_definitions_say_what_they_are_of() -> None:
    model, both, free = (Definition([], formals) for formals in ((("p", "o"),), (("p", ""), ("q", "")), (("", "x"),)))
    assert [each.of_the_model for each in (model, both, free)] == [True, False, False]
    assert free.fits([("", "x")]) and not free.fits([("", "x"), ("", "z")]) and free.fits([("p", "")])
    assert model.fits([("", "z")])


def test_rows_keep_the_words_of_a_group_apart() -> None:
    assert plain_word(grouped([*"a{b c}  d", r"\quad", r"\x", "e"])) == "ab c d e"
    hidden = [r"\open", "a", [r"\open", "b", r"\close"], r"\close"]
    assert resolved(hidden, True) == ["(", "a", ["(", "b", ")"], ")"]
    assert resolved(hidden, False) == ["a", ["b"]]


def test_what_was_read_is_typed_again() -> None:
    assert written_again(parts(r"\mathcal{L}_\theta(\mathbb{R}, \text{data}) \log x \mathbb{E}_q \KL{p}{q}")) == (
        r"\mathcal{L}_{\theta}(\mathbb{R},\text{data})\log x\mathbb{E}_{q}\mathrm{KL}(p\|q)"
    )


def test_brackets_are_mended_in_one_way() -> None:
    roles = Roles(variables={"x": "x", "z": "z"})
    for latex, read_as in {
        "(x": "( x )",
        "x)": "x",
        "(x]": "( x )",
        r"\frac{(x}{z}": r"\frac { ( x ) } { z }",
        r"\frac{x)}{z}": r"\frac { x } { z }",
        "((x)": "( ( x ) )",
    }.items():
        formula = read(parts(latex), roles, {}, Options())
        assert (formula.latex, formula.facts.mended) == (read_as, ["a bracket"])


def test_definitions_that_have_no_end_are_refused() -> None:
    roles = Roles(variables={"x": "x", "z": "z"})
    deep = {f"A_{i}": Definition(parts(f"A_{{{i + 1}}}")) for i in range(20)}
    with pytest.raises(CannotRead, match="leads back to itself"):
        read(parts("A_0"), roles, deep, Options())
    short = {f"A_{i}": Definition(parts(f"A_{{{i + 1}}}")) for i in range(11)} | {"A_11": Definition(["x"])}
    assert read(parts("A_0"), roles, short, Options()).latex == "( " * 12 + "x" + " )" * 12


# --------------------------------------------------------------------------------------------------------------- values


def test_rounded_numbers_may_be_off_by_three_halves_of_their_last_digits() -> None:
    assert typed(["0.5", "3.14", "2."]) == pytest.approx(0.15 + 0.015 + 1.5)


def test_values_are_off_by_little_and_relative_to_their_size() -> None:
    assert list(as_value(np.array([0.0, 100.0]), 0.5).allowance) == pytest.approx([0.5, 50.0], rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("=", "=", "="),
        (":=", ":=", "="),
        ("=", "in", "?"),
        ("~", "approx", "?"),
        ("approx", "=", "approx"),
        ("<", "<=", "<"),
        ("=", "?", "?"),
        ("?", "approx", "?"),
    ],
)
def test_relations_compose(first: str, second: str, both: str) -> None:
    assert composed_with(first, second) == both


def test_sentences_and_signs_of_verdicts() -> None:
    assert [symbol_of(each) for each in ("<=", ">=", "approx", "<")] == ["≤", "≥", "≈", "<"]
    assert sentence(ValueError("a\nb")) == "a"
    line = check_text(GOOD).lines[0]
    order = []
    for verdict in ("does not follow", "no meaning", "cannot be read"):
        line.verdict = verdict
        order.append(severity(line))
    assert order == [0, 1, 2]


# --------------------------------------------------------------------------------------------------------------- worlds

PLAN = Plan(("x", "y", "z"))


def value(latex: str, where) -> float:
    found = tex(latex).value(where)
    return float(getattr(found, "value", found))


def test_settings_are_coarse_and_fine_in_turn() -> None:
    assert [(each.seed, each.fine) for each in settings()] == [(0, False), (1, True), (2, False), (3, True)]
    assert len(settings(count=10)) == 10


@pytest.mark.parametrize("fine", [False, True])
def test_no_two_laws_are_one(fine: bool) -> None:
    where = scope(PLAN, Setting(1, fine))
    laws = [rf"{law}(z \mid x, y)" for law in ("p", "p_{o}", "p_{s}")]
    laws += [f"{law}(z)" for law in ("q", "q_{o}", "q_{n}", "q_{s}", "p", "p_{o}", "p_{s}", "p_{n}")]
    found = sorted(value(law, where) for law in laws if law != "p_{n}(z)")
    assert min(above - below for below, above in pairwise(found)) > 1e-9


def test_volumes_are_1_or_small() -> None:
    coarse, fine = (scope(PLAN, Setting(1, fine)).spaces for fine in (False, True))
    assert [len(coarse[name].volumes) for name in "xyz"] == [3, 3, 4]
    assert all((coarse[name].volumes == 1.0).all() for name in "xyz")
    assert all(((fine[name].volumes > 0.05) & (fine[name].volumes < 0.3)).all() for name in "xyz")


def test_samples_are_as_frequent_as_they_are_probable() -> None:
    for drawn, law, fine in (("q", "q(z)", False), ("p", "p(z)", False), ("q", "q(z)", True)):
        where = scope(PLAN, Setting(2, fine, drawn=drawn))
        samples = np.asarray(where.values[r"\tilde{z}"])
        assert len(samples) == SAMPLES and where.values["L"] == SAMPLES and where.values["N"] == DATA
        mean = value(rf"\mathbb{{E}}_{{{law}}}[z]", where)
        assert samples.mean() == pytest.approx(mean, abs=3 / SAMPLES)


def test_law_of_the_data_is_how_often_each_was_seen() -> None:
    for fine in (False, True):
        where = scope(Plan(("x", "z")), Setting(1, fine))
        data = np.asarray(where.values[r"\tilde{x}"])
        assert len(data) == DATA == where.ranges["i"]
        assert value(r"\mathbb{E}_{p_{d}(x)}[x]", where) == pytest.approx(data.mean())


def test_step_of_em_takes_the_posterior_for_the_prior() -> None:
    for fine in (False, True):
        where = scope(PLAN, Setting(1, fine))
        assert value("p_{n}(z)", where) == pytest.approx(value(r"p_{o}(z \mid x, y)", where))
        assert value(r"p_{n}(x \mid z)", where) == pytest.approx(value(r"p_{o}(x \mid z)", where))


@pytest.mark.parametrize(("reached", "law"), [("p", "p"), ("o", "p_{o}")])
def test_guides_may_be_the_posterior_of_a_model(reached: str, law: str) -> None:
    where = scope(PLAN, Setting(1, True, reached=reached))
    for guide in ("q", "q_{s}"):
        assert value(f"{guide}(z)", where) == pytest.approx(value(rf"{law}(z \mid x, y)", where))
    assert value("q_{o}(z)", where) == pytest.approx(value(r"p_{o}(z \mid x, y)", where))
    assert value("q_{n}(z)", where) != pytest.approx(value(rf"{law}(z \mid x, y)", where))


def test_last_of_a_family_of_guides_is_the_posterior() -> None:
    last, other = (scope(PLAN, Setting(1, True, guide=k)) for k in (FAMILY - 1, FAMILY - 2))
    assert value("q(z)", last) == pytest.approx(value(r"p(z \mid x, y)", last))
    assert value("q(z)", other) != pytest.approx(value(r"p(z \mid x, y)", other))


def test_prior_stays_while_the_parameters_of_the_model_move() -> None:
    for fixed, moves in ((True, False), (False, True)):
        where = scope(Plan(("x", "z"), fixed_prior=fixed), Setting(1, True))
        assert (abs(value(r"\nabla_{\theta} \log p(z)", where)) > 1e-6) is moves
        assert abs(value(r"\nabla_{\theta} \log p(x \mid z)", where)) > 1e-6
        assert abs(value(r"\nabla_{\phi} \log p(x \mid z)", where)) < 1e-9


@pytest.mark.parametrize("parameter", [r"\phi", r"\lambda", r"\varphi", r"\psi", r"\eta"])
def test_parameters_of_the_guide_move_it_alone(parameter: str) -> None:
    where = scope(PLAN, Setting(1, False))
    assert abs(value(rf"\nabla_{{{parameter}}} \log q(z)", where)) > 1e-6
    assert abs(value(r"\nabla_{\theta} \log q(z)", where)) < 1e-9


def test_guides_are_laws_of_the_latent_variable_unless_they_are_joint() -> None:
    joint = scope(Plan(("x", "z"), joint_guide=True), Setting(1, True))
    assert value(r"\int q(x, z)\,dz", joint) == pytest.approx(value("q(x)", joint))
    assert r"\tilde{z}" not in joint.values
    with pytest.raises(NoValue, match="law of the latent variable, but got one of x"):
        value("q(x)", scope(Plan(("x", "z")), Setting(1, True)))


@pytest.mark.parametrize(
    "latex, letters",
    [
        (r"\mathbb{ABCD}", "𝔸𝔹ℂ𝔻"),
        (r"\mathcal{LAB}", "ℒ𝒜ℬ"),
        (r"\mathbf{a\mu}", "𝐚𝛍"),
    ],
)
def test_letters_in_other_fonts_are_found_wherever_unicode_has_them(latex, letters):
    shown = re.sub(r"<[^>]+>", "", as_mathml(latex))
    assert [letter in shown for letter in letters] == [True] * len(letters)
