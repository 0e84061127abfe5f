"""How people write the signs of this subject: what only sets type, what is the same, what is a word."""

from __future__ import annotations

from vaelib.check.latex import Macro

SPACES = set(r"\, \; \: \! \ \> \quad \qquad ~ & \enspace \thinspace \medspace \hfill \allowbreak \noindent".split())
SPACES |= {"\\ ", "\\\n", " "}
SIZES = set(
    r"\left \right \big \Big \bigg \Bigg \bigl \Bigl \biggl \Biggl \bigr \Bigr \biggr \Biggr \middle \bigm"
    r" \Bigm".split()
)
SILENT = set(
    r"\displaystyle \textstyle \scriptstyle \limits \nolimits \nonumber \notag \mathstrut \strut \hline \rm \it \bf"
    r" \cal \sf \boldmath \mathop \mathrel \mathbin \mathord \centering \qed \bm* \tiny \small \large".split()
)
WITH_ARGUMENT = set(
    r"\label \tag \tag* \hspace \hspace* \vspace \phantom \hphantom \vphantom \color \ref \eqref".split()
)
WITH_ARGUMENT |= {r"\cite", r"\footnote", r"\mskip", r"\intertext", r"\tcolor"}
SEEN_THROUGH = set(r"\boxed \fbox \mbox* \ensuremath \cancel \underline \mathstrut \mathclose \mathopen".split())
FONTS = set(r"\mathbf \boldsymbol \bm \pmb \vec \mathit \mathsf \mathnormal \mathtt \bold \mathbold \underline".split())
WORDS = set(r"\text \mathrm \operatorname \operatorname* \textrm \mbox \textbf \textit \textup \textsf \hbox".split())
WORDS |= {r"\mathop", r"\mathcal", r"\mathbb", r"\mathscr", r"\mathfrak", r"\mathds", r"\mathbbm"}
OLD_FONTS = {r"\rm": r"\mathrm", r"\sf": r"\mathsf", r"\cal": r"\mathcal"}
SCRIPT = {r"\mathcal", r"\mathscr", r"\mathfrak"}
BLACKBOARD = {r"\mathbb", r"\mathds", r"\mathbbm"}
SAME = {
    **dict.fromkeys([r"\vert", r"\mid", r"\lvert", r"\rvert", r"\given", r"\giv", r"\cond", r"\middle|"], "|"),
    **dict.fromkeys([r"\Vert", r"\parallel", r"\lVert", r"\rVert", r"\doublevert"], r"\|"),
    **{r"\ln": r"\log", r"\dfrac": r"\frac", r"\cfrac": r"\frac", r"\tfrac": r"\frac", r"\nicefrac": r"\frac"},
    **{r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\leqslant": r"\le"},
    **{r"\geqslant": r"\ge", r"\leq": r"\le", r"\geq": r"\ge", r"\lt": "<", r"\gt": ">", "≥": r"\ge", "≤": r"\le"},
    **{r"\thickapprox": r"\approx", r"\simeq": r"\approx", "≈": r"\approx", r"\coloneqq": ":=", r"\triangleq": ":="},
    **{r"\coloneq": ":=", r"\doteq": ":=", r"\eqdef": ":=", r"\defeq": ":=", r"\vcentcolon": ":", r"\colon": ":"},
    **{r"\ast": "*", r"\star": "*", r"\intercal": r"\top", r"\prime": "'", r"\odot": r"\cdot", r"\circ": r"\cdot"},
    **{
        "−": "-",
        "·": r"\cdot",
        "×": r"\times",
        r"\varnothing": r"\emptyset",
        r"\implies": r"\Rightarrow",
    },
    **{r"\iff": r"\Leftrightarrow", r"\Longrightarrow": r"\Rightarrow", r"\Longleftrightarrow": r"\Leftrightarrow"},
    **{r"\therefore": r"\Rightarrow", r"\to": r"\rightarrow", r"\gets": r"\leftarrow", r"\Pr": "P", r"\_": "_"},
    **{r"\langle": r"\langle", r"\hbar": "h", r"\E": r"\E", r"\EE": r"\E", r"\Expect": r"\E", r"\Ex": r"\E"},
    **{r"\expect": r"\E", r"\expectation": r"\E", r"\KL": r"\KL", r"\kl": r"\KL", r"\DKL": r"\KL", r"\Dkl": r"\KL"},
    **{r"\dkl": r"\KL", r"\KLD": r"\KL", r"\N": r"\cal.N", r"\cN": r"\cal.N", r"\Normal": r"\cal.N"},
    **{r"\normal": r"\cal.N", r"\Gauss": r"\cal.N", r"\cL": r"\cal.L", r"\L": r"\cal.L", r"\ELBO": r"\word.ELBO"},
    **{r"\elbo": r"\word.ELBO", r"\argmax": r"\argmax", r"\argmin": r"\argmin", r"\sup": r"\max", r"\inf": r"\min"},
    **{r"\d": "d", r"\dd": "d", r"\diff": "d", r"\differential": "d", r"\T": r"\top", r"\trans": r"\top"},
    **{
        r"\Tr": r"\tr",
        r"\trace": r"\tr",
        r"\eps": r"\epsilon",
        r"\veps": r"\varepsilon",
        r"\Id": "I",
        r"\Exp": r"\exp",
    },
    **{r"\I": "I", r"\R": r"\bb.R", r"\bmu": r"\mu", r"\bSigma": r"\Sigma", r"\btheta": r"\theta", r"\bphi": r"\phi"},
}
GREEK = frozenset(
    r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \iota \kappa \lambda \mu \nu \xi \pi"
    r" \rho \varrho \sigma \tau \upsilon \phi \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma"
    r" \Upsilon \Phi \Psi \Omega \ell".split()
)
SAID = {  # words that are a function or a name of this subject, however they are set
    **dict.fromkeys(["kl", "dkl", "kld", "d_kl"], r"\KL"),
    **dict.fromkeys(["log", "ln"], r"\log"),
    **dict.fromkeys(["argmax", "arg max"], r"\argmax"),
    **dict.fromkeys(["argmin", "arg min"], r"\argmin"),
    **dict.fromkeys(["max", "maximize", "sup"], r"\max"),
    **dict.fromkeys(["min", "minimize", "inf"], r"\min"),
    **dict.fromkeys(["tr", "trace"], r"\tr"),
    **dict.fromkeys(["det"], r"\det"),
    **dict.fromkeys(["var"], r"\Var"),
    **dict.fromkeys(["cov"], r"\Cov"),
    **dict.fromkeys(["exp"], r"\exp"),
    **dict.fromkeys(["diag"], r"\diag"),
    **dict.fromkeys(["elbo", "evidence lower bound"], r"\word.ELBO"),
    **dict.fromkeys(["const", "constant", "const."], r"\const"),
    **dict.fromkeys(["entropy"], r"\H"),
    **dict.fromkeys(["softmax"], r"\softmax"),
    **dict.fromkeys(["sigmoid"], r"\sigmoid"),
}
RUNS = tuple(
    "argmax argmin Entropy entropy ELBO softplus const log Log exp KL ln det Tr tr Var Cov diag max min".split()
)
STOPS = {"where", "with", "for", "if", "and", "s.t.", "such that", "subject to", "when", "since", "by", "as", "fixed"}
UNSEEN_OPEN, UNSEEN_CLOSE = r"\open", r"\close"  # braces around a sum, which are not seen: brackets, or nothing
FUNCTIONS = frozenset(r"\log \exp \det \tr \max \min \argmax \argmin \sum \prod \int \E \KL \Var \Cov \H \diag".split())


KNOWN = set(r"\vert \vee \bot \bar \int \in \ni \ne \nu \mu \xi \pi \bb \le \ge \ll \gg \pm \mp \sum \prod \to".split())

HOUSE: dict[str, Macro] = {
    r"\half": Macro(0, (r"\frac", "1", "2")),
    r"\iint": Macro(0, (r"\int", r"\int")),
    r"\dz": Macro(0, ("d", "z")),
    r"\dx": Macro(0, ("d", "x")),
    r"\norm": Macro(1, (r"\|", "#1", r"\|")),
    r"\abs": Macro(1, ("|", "#1", "|")),
    r"\paren": Macro(1, ("(", "#1", ")")),
    r"\brac": Macro(1, ("[", "#1", "]")),
    r"\bra": Macro(1, ("[", "#1", "]")),
    r"\set": Macro(1, (r"\{", "#1", r"\}")),
    r"\Eb": Macro(2, (r"\mathbb", "{", "E", "}", "_", "{", "#1", "}", "[", "#2", "]")),
}
