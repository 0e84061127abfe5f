r"""Rows and chains: what continues what, where a chain begins, what stands beside a formula."""

from __future__ import annotations

import pytest

from vaelib.check.chains import chains
from vaelib.check.documents import document
from vaelib.check.latex import CannotRead, Macro, expanded, flat, grouped, macros_of, signs
from vaelib.check.surface import surface


def lines(text: str) -> list[list[tuple[str, str]]]:
    """The chains of a text: relation and formula of each line."""
    return [
        [(line.relation, " ".join(flat(line.items)) or line.fault) for line in chain.lines]
        for chain in chains(document("-", text, "markdown"))
    ]


def bare(latex: str) -> str:
    return " ".join(flat(surface(grouped([sign.text for sign in signs(latex)])).items))


def test_rows_of_an_environment_are_one_chain():
    text = "$$\\begin{align} a &= b \\\\[10pt] &\\le c \\nonumber\\\\ &= d \\end{align}$$"
    assert lines(text) == [[("", "a"), ("=", "b"), ("<=", "c"), ("=", "d")]]


def test_rows_that_continue_are_joined():
    text = "$$\\begin{aligned} a &= b \\\\ &\\quad - c \\\\ &= \\\\ & d + \\\\ & e \\end{aligned}$$"
    assert lines(text) == [[("", "a"), ("=", "b - c"), ("=", "d + e")]]


def test_a_block_that_begins_with_a_relation_goes_on():
    assert lines("$$a = b$$\n\n$$= c$$\n\nwords\n\n$$d = e$$") == [
        [("", "a"), ("=", "b"), ("=", "c")],
        [("", "d"), ("=", "e")],
    ]


def test_a_row_with_two_sides_begins_a_chain():
    assert lines("$$\\begin{align} a &= b \\\\ c &= d \\end{align}$$") == [
        [("", "a"), ("=", "b")],
        [("", "c"), ("=", "d")],
    ]


def test_mathematics_in_line_counts_where_it_states_something():
    assert lines("$p(x)$ and $a = b$ and $p(x) = p(z) p(x|z)$") == [[("", "p ( x )"), ("=", "p ( z ) p ( x | z )")]]


@pytest.mark.parametrize("sign", [":=", r"\triangleq", r"\equiv", r"\coloneqq", r"\overset{\text{def}}{=}"])
def test_signs_of_a_definition_are_one(sign):
    assert lines(f"$$a {sign} b$$") == [[("", "a"), (":=", "b")]]


def test_remarks_labels_colors_and_punctuation_are_left_out():
    text = r"$$a \label{a} = \color{red} b \tag{1} \quad \text{for all } x, \quad \forall x$$"
    assert lines(text) == [[("", "a"), ("=", "b")]]


def test_cases_are_skipped_with_a_reason():
    ((_, (relation, said)),) = [tuple(chain) for chain in lines(r"$$a = b$$") if len(chain) == 2]
    assert (relation, said) == ("=", "b")
    assert "cases" in lines(r"$$a = \begin{cases} b \\ c \end{cases}$$")[0][0][1]


def test_a_brace_with_a_name_defines_it():
    (chain,) = chains(document("-", r"$$a = \underbrace{b - c}_{\mathcal{L}} + d$$"))
    (name, meaning) = chain.lines[-1].named[0]
    assert (flat(name), flat(meaning)) == (["\\cal.L"], ["b", "-", "c"])
    assert " ".join(flat(chain.lines[-1].items)) == "b - c + d"


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\mathbf{X, Z}", "X , Z"),
        (r"{\bf z}", "z"),
        (r"{\rm KL}(q \,||\, p)", r"\KL ( q \| p )"),
        (r"D_{\text{KL}}\left[q \Vert p\right]", r"\KL [ q \| p ]"),
        (r"K L(q \mid\mid p)", r"\KL ( q \| p )"),
        (r"\KL{q}{p}", r"\KL ( q \| p )"),
        (r"\mathop{\mathbb{E}}_{q}[f]", r"\E _ { q } [ f ]"),
        (r"\underset{z \sim q}{\mathbb{E}}[f]", r"\E _ { z \sim q } [ f ]"),
        (r"E_{q}[f]", r"\E _ { q } [ f ]"),
        (r"log p(x)", r"\log p ( x )"),
        (r"{\rm log}p(x)", r"\log p ( x )"),
        (r"\log{p(x)}", r"\log ( p ( x ) )"),
        (r"{a \over b}", r"\frac { a } { b }"),
        (r"\dfrac12", r"\frac { 1 } { 2 }"),
        (r"a b^\frac12 c", r"a b ^ { \frac { 1 } { 2 } } c"),
        (r"a b^\cfrac12 c", r"a b ^ { \frac { 1 } { 2 } } c"),
        (r"a \sqrt\nicefrac{b}{c} d", r"a \sqrt { \frac { b } { c } } d"),
        (r"a \sqrt\frac{b}{c} d", r"a \sqrt { \frac { b } { c } } d"),
        (r"a b \frac\frac{a}{b}c d", r"a b \frac { \frac { a } { b } } { c } d"),
        (r"p(x\vertz)", "p ( x | z )"),
        (r"\bz + \vx", "z + x"),
        (r"E L B O", r"\word.ELBO"),
    ],
)
def test_spellings_of_one_thing_are_one(latex, expected):
    assert bare(latex) == expected


def test_macros_take_arguments_and_defaults():
    text = (
        r"\newcommand{\kl}[2]{D(#1 | #2)}\newcommand\E[1][q]{E_{#1}}\def\a#1{<#1>}\DeclareMathOperator*{\am}{arg\,max}"
    )
    macros = macros_of(text)
    assert macros[r"\kl"] == Macro(2, ("D", "(", "#", "1", " ", "|", " ", "#", "2", ")"))

    def put_in(latex: str) -> str:
        return "".join(sign.text for sign in expanded(signs(latex), macros))

    assert put_in(r"\kl{q}{p}") == "D(q | p)"
    assert put_in(r"\E[p]\E") == "E_{p}E_{q}"
    assert put_in(r"\a b") == "<b>"
    assert put_in(r"\am") == r"\operatorname{argmax}"


def test_a_macro_that_calls_itself_is_refused():
    with pytest.raises(CannotRead, match="calls itself"):
        expanded(signs(r"\a"), {r"\a": Macro(0, (r"\a",))})
