"""Glyphs: 70,000 letters of 28 x 28 pixels in 21 typefaces, drawn here; what each was made of is known.

Matplotlib brings the typefaces, so that nothing is downloaded. Each sign is drawn large once in each face; an image is
that drawing, sheared, scaled and moved by one affine map, and averaged over 3 x 3 points in each pixel.
"""

from __future__ import annotations

import hashlib
import os
import string
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaelib._spoken import remark
from vaelib.data.core import Array, Data, DataError

SIGNS = {"glyphs": string.ascii_uppercase, "glyphs62": string.ascii_letters + string.digits}
FACES = (  # file, bold?; the others that matplotlib has hold no text, or old-style digits, not a size of letter
    ("DejaVuSans", False),
    ("DejaVuSans-Bold", True),
    ("DejaVuSans-Oblique", False),
    ("DejaVuSans-BoldOblique", True),
    ("DejaVuSansMono", False),
    ("DejaVuSansMono-Bold", True),
    ("DejaVuSansMono-Oblique", False),
    ("DejaVuSansMono-BoldOblique", True),
    ("DejaVuSerif", False),
    ("DejaVuSerif-Bold", True),
    ("DejaVuSerif-Italic", False),
    ("DejaVuSerif-BoldItalic", True),
    ("STIXGeneral", False),
    ("STIXGeneralBol", True),
    ("STIXGeneralItalic", False),
    ("STIXGeneralBolIta", True),
    ("cmr10", False),
    ("cmb10", True),
    ("cmss10", False),
    ("cmti10", False),
    ("cmtt10", False),
)
FACTORS = ("sign", "face", "bold", "slant", "size", "right", "down")
SIDE = 28  # pixels of an image
TRAIN, TEST = 60_000, 10_000
SLANT = 12.0  # degrees at most that a face is sheared, either way
SIZES = (20.0, 25.0)  # pixels of the longer side of a sign
SHIFT = 1.5  # pixels at most from the middle: the largest sign then touches the edge
DRAWN_AT = 160  # pixels of the size at which each sign is drawn once
FINER = 3  # points along each side of a pixel that are averaged
RECIPE = 1  # counted up by whoever changes what is drawn, so that no cache of the old images is taken for new


def glyphs(signs: str = "glyphs", *, train: int = TRAIN, test: int = TEST) -> Data:
    """The 26 capital letters (or all 62 letters and digits, "glyphs62") in 21 typefaces; 28 x 28 bytes, white = 255.

    Every sign appears in every face equally often, but for one image more or less. What else an image is made of is
    drawn uniformly: a shear of -12 to 12 degrees (to the right where > 0), the longer side of the sign, 20 to 25
    pixels, and how far its middle lies right of and below that of the image, -1.5 to 1.5 pixels. These are
    `data.train_factors` and `data.test_factors`, (examples, 7), in the columns that `data.factor_names` names; `sign`
    and `face` are indices (into `data.classes` and `FACES`), `bold` is 0 or 1. The labels are the signs' indices.
    Training and test set have the same faces: what is tested is other slants, sizes and places.

    The 70,000 images are drawn at the first call and kept in the user's cache, or found in `glyphs` in the folder that
    VAELIB_DATA names. A file that is damaged is drawn again. The images depend on matplotlib's font files and on the
    versions of Pillow and of the FreeType in it; a hash of all three is in the name of the file. With fewer than all
    images asked for and none kept, only these are drawn, the same as the first of the whole set, and not kept.

    Args:
        signs: "glyphs" or "glyphs62". train, test: how many images of each part, the first ones.

    Raises:
        DataError: a number is not between 1 and 60,000 (10,000), or Pillow, matplotlib or one of its fonts is missing.

    >>> letters = glyphs(train=100, test=10)
    >>> letters.train.shape, letters.classes[letters.train_labels[0]]
    ((100, 784), 'G')

    Source: the fonts DejaVu, STIX and BaKoMa Computer Modern, as matplotlib ships them.
    """
    if signs not in SIGNS:
        raise DataError(f'Expected `signs` to be "glyphs" or "glyphs62", but got {signs!r}.')
    for name, count, most in (("train", train, TRAIN), ("test", test, TEST)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= most:
            raise DataError(f"Expected `{name}` to be a whole number from 1 to {most:,}, but got {count!r}.")
    factors = _factors(SIGNS[signs])
    wanted = np.r_[:train, TRAIN : TRAIN + test]
    images = _images(signs, factors, wanted)
    labels = factors[wanted, 0].astype(np.int64)
    return Data(
        signs,
        images[:train],
        images[train:],
        (SIDE, SIDE),
        255.0,
        labels[:train],
        labels[train:],
        default_binarization="dynamic",
        classes=tuple(SIGNS[signs]),
        factor_names=FACTORS,
        train_factors=factors[:train],
        test_factors=factors[TRAIN : TRAIN + test],
    )


def _factors(signs: str) -> NDArray[np.float64]:
    """(70000, 7): what each image is made of, by a generator whose stream NumPy has frozen."""
    rng = np.random.RandomState(0)
    kinds = np.concatenate([rng.permutation(np.arange(part) % (len(signs) * len(FACES))) for part in (TRAIN, TEST)])
    sign, face = kinds % len(signs), kinds // len(signs)
    bold = np.array([bold for _, bold in FACES])[face]
    low = [-SLANT, SIZES[0], -SHIFT, -SHIFT]
    high = [SLANT, SIZES[1], SHIFT, SHIFT]
    return np.column_stack([sign, face, bold, rng.uniform(low, high, (len(kinds), 4))])


# --------------------------------------------------------------------------------------------------------- drawing


@dataclass(frozen=True)
class Master:
    """A sign in one face, large, with a margin of one pixel."""

    image: Any  # of Pillow
    left: Array  # (rows,), where the ink of each row that has any begins, in pixels
    right: Array  # (rows,), where it ends
    below: Array  # (rows,), the middle of that row, in pixels below the middle of the sign


def _master(font: Any, sign: str) -> Master:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (2 * DRAWN_AT, 2 * DRAWN_AT))
    ImageDraw.Draw(canvas).text((DRAWN_AT / 2, DRAWN_AT / 4), sign, fill=255, font=font)
    ink = np.array(canvas)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] - 1 : rows[-1] + 2, columns[0] - 1 : columns[-1] + 2]
    inked = np.flatnonzero(ink.any(1))
    left = (ink[inked] > 0).argmax(1)
    right = ink.shape[1] - (ink[inked, ::-1] > 0).argmax(1)
    return Master(Image.fromarray(ink), left, right, inked + 0.5 - ink.shape[0] / 2)


def draw(master: Master, slant: float, size: float, right: float, down: float) -> NDArray[np.uint8]:
    """One image, (28, 28): sheared by `slant` degrees, its longer side `size` pixels, its middle moved."""
    from PIL import Image

    tangent = np.tan(np.radians(slant))
    lean = -tangent * master.below  # rows above the middle go to the right
    begins, ends = (master.left + lean).min(), (master.right + lean).max()
    height = len(master.below)
    scale = max(ends - begins, height) / size  # pixels of the master for one of the image
    middle = master.image.height / 2
    # a point (x, y) of the image comes from (across + tangent * below, middle + below) of the master
    step = scale / FINER
    top = -(SIDE / 2 + down) * scale
    start = (begins + ends) / 2 - (SIDE / 2 + right) * scale
    where = (step, tangent * step, start + tangent * top, 0.0, step, middle + top)
    fine = (SIDE * FINER, SIDE * FINER)
    drawn = master.image.transform(fine, Image.Transform.AFFINE, where, Image.Resampling.BILINEAR)
    return np.asarray(drawn.reduce(FINER))


def _drawn(signs: str, factors: Array) -> Iterator[NDArray[np.uint8]]:
    """The images (28, 28), one after the other; a sign is drawn large when it is first needed."""
    folder, layout = _fonts(), _freetype()
    fonts = [layout.truetype(str(folder / f"{name}.ttf"), DRAWN_AT, layout_engine=layout.Layout.BASIC)
             for name, _ in FACES]  # fmt: skip
    masters: dict[tuple[int, int], Master] = {}
    for sign, face, _, *shape in factors:
        key = (int(sign), int(face))
        if key not in masters:
            masters[key] = _master(fonts[key[1]], signs[key[0]])
        yield draw(masters[key], *shape)


def _freetype() -> Any:
    """Pillow's module of fonts."""
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise DataError("The glyphs are drawn by Pillow, which is missing. Install it: pip install pillow") from error
    return ImageFont


def _fonts() -> Path:
    """The folder of matplotlib's fonts, with all that are needed in it."""
    try:
        import matplotlib
    except ImportError as error:
        raise DataError(
            "The glyphs are drawn from matplotlib's fonts, but it is missing. Install it: pip install matplotlib"
        ) from error
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    lacking = [f"{name}.ttf" for name, _ in FACES if not (folder / f"{name}.ttf").is_file()]
    if lacking:
        raise DataError(
            f"Expected {folder} to hold the fonts that matplotlib ships, but it lacks {', '.join(lacking)}. Some"
            " distributions take them out: install matplotlib with pip or conda."
        )
    return folder


# ----------------------------------------------------------------------------------------------------------- cache


def version(signs: str) -> str:
    """Twelve digits of a hash of all that the images depend on: recipe, signs, font files, Pillow and its FreeType."""
    from PIL import __version__, features

    folder = _fonts()
    digest = hashlib.sha256(f"{RECIPE} {SIGNS[signs]} {__version__} {features.version('freetype2')}".encode())
    for name, _ in FACES:
        digest.update((folder / f"{name}.ttf").read_bytes())
    return digest.hexdigest()[:12]


def folders() -> list[Path]:
    """Where the images are looked for, in this order; they are kept in the last."""
    import pooch

    named = os.environ.get("VAELIB_DATA")
    own = [Path(os.path.expanduser(named)) / "glyphs"] if named else []
    return [*own, Path(pooch.os_cache("vaelib")) / "glyphs"]


def _images(signs: str, factors: Array, wanted: Array) -> NDArray[np.uint8]:
    """(len(wanted), 784), from a file if there is one."""
    _freetype()
    name = f"{signs}-{version(signs)}.npz"
    for folder in folders():
        kept = _read(folder / name)
        if kept is not None:
            return kept[wanted]
    images = np.empty((len(wanted), SIDE * SIDE), np.uint8)
    with DrawingBar(signs, len(wanted)) as advance:
        for i, image in enumerate(_drawn(SIGNS[signs], factors[wanted])):
            images[i] = image.ravel()
            if i % 500 == 0:
                advance(i)
    if len(images) == TRAIN + TEST:
        _keep(folders()[-1] / name, images)
    return images


def _read(path: Path) -> NDArray[np.uint8] | None:
    """All images, or None where there is no such file or it is damaged; a .npz file carries checksums."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file["images"]
    except Exception:  # damaged in any way: it is drawn again
        images = np.empty(0)
    if images.shape == (TRAIN + TEST, SIDE * SIDE) and images.dtype == np.uint8:
        return images
    remark(f"{path} cannot be read, or is cut off or damaged: the glyphs are drawn again.")
    return None


def _keep(path: Path, images: Array) -> None:
    """Write the file whole or not at all, whoever else is writing it; where there is no room, do without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".drawing-") as temporary:
            file = Path(temporary) / path.name
            np.savez_compressed(file, images=images)
            os.replace(file, path)
    except OSError as error:
        remark(
            f"Could not keep the glyphs in {path.parent}: {error.strerror}. They are drawn again next time, which takes"
            " half a minute."
        )


class DrawingBar:
    """`with DrawingBar(name, total) as advance`: shown on a terminal, silent elsewhere."""

    def __init__(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task(f"drawing {total:,} {name}", total=total)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda done: self._progress.update(self._task, completed=done)

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()
