"""The deck: a question and a picture for each notebook, in one file that loads nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import projected
import pytest
import slides
from start import chapters

import notebooks

ROOT = Path(__file__).resolve().parent.parent
PICTURES = sorted((ROOT / "notebooks" / "teach" / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_picture_fills_a_slide_has_a_title_and_letters_that_can_be_read_from_the_last_row(path: Path) -> None:
    root = ET.parse(path).getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width / height == pytest.approx(16 / 9, rel=1e-3)
    title = root.find(f"{SVG}title")
    assert title is not None and len(title.text or "") > 12
    words = [text for text in root.iter(f"{SVG}text")]
    assert words
    sizes = {float(size) for size in re.findall(r"font(?:-size)?: ?([\d.]+)px", path.read_text(encoding="utf-8"))}
    on_a_slide = (40 / 3) * 72 / width  # points there for one in the picture
    scripts = 0.7  # what matplotlib makes of a size in an index or a power
    assert min(sizes) * on_a_slide >= 18 * scripts - 0.01
    assert max(sizes) * on_a_slide >= 18 - 0.01


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_every_letter_of_a_picture_is_in_ordinary_fonts(path: Path) -> None:
    assert not re.search("[\ue000-\uf8ff]", path.read_text(encoding="utf-8"))


def test_letter_of_a_font_that_only_matplotlib_has_is_written_as_itself_or_refused() -> None:
    text = "<tspan style=\"font-size: 13px; font-family: 'STIXNonUnicode'\">{}</tspan>"
    assert notebooks.legible(text.format("\ue156")) == '<tspan style="font-size: 13px; ">\U0001d53c</tspan>'
    with pytest.raises(ValueError, match="letters that every font has"):
        notebooks.legible(text.format("\ue157"))


def test_figure_is_as_before_once_it_was_enlarged() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(6, 3), layout="constrained")
    words = ax.text(0.5, 0.5, "small", fontsize=8)
    title = ax.set_title("large", fontsize=20)
    figure.canvas.draw()
    before = ax.xaxis.get_ticklabels()[0].get_fontsize()
    with projected.enlarged(figure):
        figure.canvas.draw()
        assert tuple(figure.get_size_inches()) == projected.SIZE
        assert words.get_fontsize() == projected.SMALLEST and title.get_fontsize() == 20
        assert {label.get_fontsize() for label in ax.xaxis.get_ticklabels()} == {projected.SMALLEST}
    figure.canvas.draw()
    assert tuple(figure.get_size_inches()) == (6, 3) and words.get_fontsize() == 8
    assert {label.get_fontsize() for label in ax.xaxis.get_ticklabels()} == {before}
    pyplot.close(figure)


def test_names_in_two_pictures_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    file.write_text(
        '<?xml version="1.0"?><svg width="1pt" height="1pt" viewBox="0 0 1 1"><metadata>x</metadata>'
        '<g id="a"/><use xlink:href="#a" clip-path="url(#b)"/></svg>',
        encoding="utf-8",
    )
    assert slides.picture(file, "n1") == (
        '<svg viewBox="0 0 1 1"><g id="n1-a"/><use xlink:href="#n1-a" clip-path="url(#n1-b)"/></svg>'
    )


def test_deck_has_a_question_and_a_picture_for_each_notebook_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "reveal.css": "",
        "theme/white.css": "@import url(./fonts/a.css);\n.a {}",
        "reveal.js": "'</script>'",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(slides, "REVEAL", tmp_path)
    deck = slides.deck()
    assert deck.count("<section") == 1 + 2 * len(chapters(ROOT)) and deck.count("<svg") == len(chapters(ROOT))
    assert not re.search(r"""(src|href)=["'](?!#|data:)|@import|url\((?!#)""", deck.replace("xlink:", ""))
    assert "'<\\/script>'" in deck and "$" not in re.sub(
        r"<(svg|script|annotation)\b.*?</\1>|alttext=\"[^\"]*\"", "", deck, flags=re.S
    )
    ids = re.findall(r'\bid="([^"]+)"', deck)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', deck)) <= set(ids)  # all that a picture refers to is there


def test_deck_without_reveal_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "REVEAL", ROOT / "site" / "nowhere")
    with pytest.raises(FileNotFoundError, match="npm ci --prefix site"):
        slides.deck()
