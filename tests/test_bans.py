"""In a notebook, too, what an exercise forbids is noticed: by name, through other names, and while the answer runs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

import vaelib
import vaelib.kl
from vaelib import Normal, kl_divergence
from vaelib.bans import Guarded, used
from vaelib.exercise import check
from vaelib.feedback import NOT_YET
from vaelib.judge import judge
from vaelib.kl import normal as renamed
from vaelib.models import LinearGaussian
from vaelib.tasks import task


def mine(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5


def by_the_package(a: Any, b: Any, c: Any, d: Any) -> Any:
    return kl_divergence(Normal(a, b), Normal(c, d))


def by_a_module(*given: Any) -> Any:
    return vaelib.kl.normal(*given)


def by_another_name(*given: Any) -> Any:
    return renamed(*given)


def imported_inside(*given: Any) -> Any:
    from vaelib.kl import normal as anything

    return anything(*given)


def by_torch(a: Any, b: Any, c: Any, d: Any) -> Any:
    q, p = (torch.distributions.Normal(*map(torch.tensor, pair)) for pair in ((a, b), (c, d)))
    return torch.distributions.kl_divergence(q, p)


def by_a_helper(*given: Any) -> Any:
    return by_the_package(*given)


def in_a_closure() -> Callable[..., Any]:
    function = vaelib.kl.normal
    return lambda *given: function(*given)


def found_at_run_time(*given: Any) -> Any:
    return getattr(sys.modules["vaelib." + "kl"], "nor" + "mal")(*given)


def caught(*given: Any) -> Any:
    try:
        return found_at_run_time(*given)
    except Exception:
        return mine(*given)


class WithCall:
    def __call__(self, *given: Any) -> Any:
        return by_the_package(*given)


WAYS: dict[str, Any] = {
    "the function itself": vaelib.kl.normal,
    "the package": by_the_package,
    "a module": by_a_module,
    "another name": by_another_name,
    "imported inside": imported_inside,
    "torch": by_torch,
    "a helper": by_a_helper,
    "a closure": in_a_closure(),
    "at run time": found_at_run_time,
    "caught": caught,
    "partial": functools.partial(vaelib.kl.normal),
    "vectorized": np.vectorize(by_the_package),
    "a class": WithCall(),
    "a method": WithCall().__call__,
    "a list": lambda *given: [by_the_package][0](*given),
}


@pytest.mark.parametrize("way", WAYS)
def test_forbidden_function_is_refused_in_words(way: str) -> None:
    feedback = judge(task("04.1"), Guarded(WAYS[way], kinds=("kl",)))
    assert feedback.state == NOT_YET, str(feedback)
    assert "this exercise asks you to write the KL divergence yourself" in str(feedback), str(feedback)
    assert "Write it yourself, from the formula" in str(feedback)


def test_check_refuses_it_and_leaves_the_notebook_as_it_was() -> None:
    before = kl_divergence, vaelib.kl.normal, sys.getprofile()
    assert "write the KL divergence yourself" in str(check("04.1", found_at_run_time))
    assert (kl_divergence, vaelib.kl.normal, sys.getprofile()) == before
    assert kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0)) == pytest.approx(0.5)
    assert check("04.1", mine).right


def test_what_is_near_to_it_is_allowed() -> None:
    assert kl_divergence is not None  # is at hand in this notebook, and not used by the answer
    assert judge(task("04.1"), Guarded(mine, kinds=("kl",))).right
    assert used(lambda q, p: scipy.special.xlogy(q, p), ("kl",)) == ""
    assert used(lambda z: Normal(0.0, 1.0).log_prob(z), ("kl", "linear", "importance")) == ""
    assert "rel_entr" in used(lambda q, p: scipy.special.rel_entr(q, p), ("kl",))
    assert "LinearGaussian" in used(lambda w, b, c: LinearGaussian(w, b, c), ("linear",))
    assert used(lambda w, b, c: LinearGaussian(w, b, c), ("kl",)) == ""


def test_answer_that_is_no_function_is_judged_as_ever() -> None:
    assert "Expected a function" in str(judge(task("04.1"), Guarded(0.5, kinds=("kl",))))


BY_THE_PACKAGE = "01.1 01.2 01.3 02.1 03.2 04.1 04.4 06.3 06.4 07.2 08.2 09.2 10.1 13.2 13.3".split()


@pytest.mark.parametrize("id", BY_THE_PACKAGE)
def test_what_the_package_computes_is_refused_wherever_it_is_called(id: str) -> None:
    """The truths of these exercises call what the exercise forbids; no code of theirs is looked at, so it is noticed
    while they run."""
    each: Any = task(id)
    names = list(each.asked(0)[0])

    def answer(*given: Any) -> Any:
        return each.truth(**dict(zip(names, given, strict=True)))

    assert used(answer, each.forbidden) == ""
    assert "this exercise asks you to write" in str(judge(each, Guarded(answer, kinds=each.forbidden)))


def test_parameter_may_have_the_name_of_what_is_forbidden() -> None:
    def rescaled(renamed: float, by_torch: float) -> float:
        return renamed * by_torch

    assert used(rescaled, ("kl",)) == ""
