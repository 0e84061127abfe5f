"""Make a deck of the pictures to remember, one for each notebook: `make slides`.

    python tools/slides.py [FILE]

FILE, by default build/slides/index.html, holds all that it needs: reveal.js, the pictures, the questions. It is shown
in any browser, without a network; the arrows turn the slides, F fills the screen. Nothing is run: the pictures
are those in notebooks/teach/pictures.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path

from pages import ROOT
from start import Chapter, chapters

from vaelib.check.mathml import as_mathml

REVEAL = ROOT / "site" / "node_modules" / "reveal.js" / "dist"
STYLE = """
.reveal { font-size: 40px; font-family: system-ui, sans-serif; }
.reveal h1, .reveal h2 { font-size: 1.5em; text-transform: none; }
.reveal section.picture svg { width: 1280px; height: 720px; }
.reveal p.question { max-width: 26em; margin: 1em auto; }
"""


def prose(text: str) -> str:
    """A sentence of a title cell as HTML: its formulas as MathML, its emphasis as such."""
    parts = re.split(r"\$([^$]+)\$", text)
    for i, part in enumerate(parts):
        parts[i] = as_mathml(part, display=False) if i % 2 else escape(part)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", "".join(parts).replace("**", ""))


def picture(path: Path, prefix: str) -> str:
    """An SVG as a part of a page: without its head, and with names that no other picture of the page has."""
    text = re.sub(r"<metadata>.*?</metadata>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text[text.index("<svg") :])
    return re.sub(r'(<svg\b[^>]*?) width="[^"]*" height="[^"]*"', r"\1", text, count=1)


def slides(one: Chapter, pictures: Path) -> str:
    """Two slides of a notebook: its question, and its picture."""
    drawn = picture(pictures / f"{Path(one.file).stem}.svg", f"n{one.number}")
    question = f'<h2>{one.number} {prose(one.title)}</h2><p class="question">{prose(one.question)}</p>'
    return f'<section>{question}</section>\n<section class="picture">{drawn}</section>\n'


def deck(root: Path = ROOT) -> str:
    """The whole deck as one page.

    Raises:
        FileNotFoundError: reveal.js is not there; the message says how to get it.
    """
    try:
        style, theme, script = (
            (REVEAL / name).read_text("utf-8") for name in ("reveal.css", "theme/white.css", "reveal.js")
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Expected reveal.js in {REVEAL.relative_to(ROOT)}, but it is not there. `npm ci --prefix site` puts it "
            "there; npm comes with Node.js."
        ) from None
    script = script.replace("</script", r"<\/script")
    theme = re.sub(r"@import url\([^)]*\);", "", theme)  # the font of the system does
    body = "".join(slides(one, root / "notebooks" / "teach" / "pictures") for one in chapters(root))
    title = "Variational autoencoders, line by line"
    options = "width: 1280, height: 720, margin: 0.04, controls: false, hash: true, transition: 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{style}\n{theme}\n{STYLE}</style>\n</head>\n"
        f'<body>\n<div class="reveal"><div class="slides">\n<section><h1>{title}</h1></section>\n{body}</div></div>\n'
        f"<script>{script}</script>\n<script>Reveal.initialize({{ {options} }});</script>\n</body>\n</html>\n"
    )


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "slides" / "index.html"
    try:
        text = deck()
    except FileNotFoundError as reason:
        sys.exit(str(reason))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"{target}: {text.count('<section')} slides, {len(text) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
