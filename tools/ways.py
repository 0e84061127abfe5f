"""Three ways through the course, as data: which sections of which notebooks, in which session.

A section is named by a cell in it, that with its heading as a rule; `python tools/sections.py` lists them all. The
start page and the syllabus are made of this. Only the standard library is used, so that students' copies of the course
can read it.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 90  # minutes of a session, with its exercise


@dataclass(frozen=True)
class Part:
    """What is done of a notebook: these sections, or its whole class part.

    Args:
        half: 1 or 2 for one of the two sessions of a notebook that has two.
    """

    notebook: str
    sections: tuple[str, ...] = ()
    half: int = 0


@dataclass(frozen=True)
class Session:
    """At most 90 minutes: some parts, then exercises, the first of them in the session and the rest at home."""

    title: str
    parts: tuple[Part, ...]
    exercises: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """One way through the course.

    Args:
        whom: for whom it is. ends: what people can do at its end. before: what is done before the first session.
        without: notebooks that it leaves out -> what to say in their place. All that its notebooks build on are here.
    """

    name: str
    whom: str
    ends: str
    sessions: tuple[Session, ...]
    before: str
    without: dict[str, str]

    @property
    def notebooks(self) -> list[str]:
        """The notebooks that it visits, each once, in its order."""
        return list(dict.fromkeys(part.notebook for session in self.sessions for part in session.parts))


def parts(text: str) -> tuple[Part, ...]:
    """Parts from a line such as "03 cost gibbs; 05 bar": a notebook and its sections, then the next.

    Example: parts("03; 05 bar") == (Part("03"), Part("05", ("bar",)))
    """
    named = [each.split() for each in text.split(";")]
    return tuple(Part(number, tuple(sections)) for number, *sections in named)


def whole(number: str, title: str, exercises: str = "") -> Session:
    return Session(title, (Part(number),), tuple(exercises.split()))


def two(number: str, first: str, second: str, exercises: tuple[str, str]) -> tuple[Session, Session]:
    """The two sessions of a long notebook."""
    one, other = (tuple(each.split()) for each in exercises)
    return Session(first, (Part(number, half=1),), one), Session(second, (Part(number, half=2),), other)


SEMESTER = Way(
    name="A semester",
    whom="a class that meets once or twice a week, seventeen times",
    ends="derive the bound and every term of the loss, train a VAE and say how good it is, and find what is wrong with "
    "somebody else's",
    before="Notebook 00 is done at home: it shows whether everything runs, and what to look up again.",
    sessions=(
        whole("01", "From what is seen to what is hidden", "01.1 01.2 01.3"),
        whole("02", "Why the evidence is hard", "02.2 02.1 02.3"),
        whole("03", "What a wrong belief costs", "03.2 03.1 03.3 03.4"),
        whole("04", "The KL of two Gaussians", "04.2 04.1 04.3 04.4"),
        *two("05", "The bound, by several routes", "The bound: its forms, when it is tight", ("05.1", "05.2 05.3")),
        whole("06", "EM, the older sister of the VAE", "06.3 06.1 06.2 06.4 06.5"),
        whole("07", "Gradients of expectations", "07.2 07.1 07.3"),
        whole("08", "A VAE that can be solved", "08.2 08.1 08.3 08.4"),
        *two("09", "A real VAE: model and loss", "A real VAE: what it has learned", ("09.2", "09.1 09.3")),
        *two("10", "Where the gap comes from", "The evidence from both sides", ("10.2 10.4", "10.1 10.3")),
        whole("11", "Collapse, beta, rate and distortion", "11.3 11.1 11.2 11.4 11.5"),
        whole("12", "Missing and noisy pixels", "12.2 12.1 12.5 12.3 12.4"),
        whole("13", "Find the bugs", "13.2 13.1 13.3"),
        whole("14", "From one latent to a thousand", "14.1 14.2 14.3"),
    ),
    without={},
)

WORKSHOP = Way(
    name="A workshop of three sessions",
    whom="people who know some machine learning and have an afternoon, or three",
    ends="derive the bound on the evidence, say what each term of a VAE's loss is for, and name what may go wrong",
    before="Notebook 00 at home. Run every cell of a notebook before its session, for each part uses what the cells "
    "above it have defined.",
    sessions=(
        Session(
            "From Bayes' rule to the bound",
            parts("01 table-story product-rule; 03 cost gibbs jensen; 05 bar f2"),
            ("05.1",),
        ),
        Session(
            "The VAE",
            parts("04 prior; 07 pathwise; 09 arrows pixel loss train learned"),
            ("09.2",),
        ),
        Session(
            "How good is it, and what goes wrong?",
            parts("10 fault j1; 11 prices plane ignore; 13 suspect checklist"),
            ("11.1", "13.1"),
        ),
    ),
    without={
        "02": "A mean over draws of $z$ estimates $p(x)$ without bias, but in many dimensions it needs too many draws: "
        "hence the bound.",
        "06": "The bound has two arguments; EM moves one at a time.",
        "08": "With linear networks a VAE finds the principal components, and keeps a direction only if the data vary "
        "more along it than the noise.",
    },
)

DAY = Way(
    name="One day alone",
    whom="you, with a laptop and four blocks of an hour and a half",
    ends="read a paper on VAEs, and the code that comes with it, without guessing",
    before="Install the course the day before, and run notebook 00 once. Run every cell of a notebook before you read "
    "its sections, for each uses what the cells above it have defined.",
    sessions=(
        Session(
            "What is hidden, and why it is hard",
            parts("00 verdict; 01 table-story product-rule square; 02 tiny prior"),
            ("01.1",),
        ),
        Session(
            "The bound",
            parts("03 cost gibbs jensen; 04 one prior; 05 bar f2 f7"),
            ("05.2", "05.1"),
        ),
        Session(
            "A VAE that trains",
            parts("07 pathwise score; 09 arrows pixel loss batch train learned"),
            ("09.2",),
        ),
        Session(
            "How good is it, and what goes wrong?",
            parts("10 fault j1; 11 prices plane ignore; 13 suspect e2 h10 checklist"),
            ("11.1", "13.1"),
        ),
    ),
    without={
        "06": "EM climbs the same bound, in two half-steps.",
        "08": "With linear networks all of it can be solved on paper, and the answer is PCA with a threshold.",
    },
)

WAYS = (SEMESTER, WORKSHOP, DAY)
