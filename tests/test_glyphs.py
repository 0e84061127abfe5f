"""Glyphs and patches: what they are made of is what is seen, always the same, and a damaged file is drawn again."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import PIL
import pytest
from PIL import features

from vaelib import data
from vaelib.data import DataError, idx, lettering

COLUMN = {name: i for i, name in enumerate(lettering.FACTORS)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache that is empty."""
    monkeypatch.delenv("VAELIB_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    return tmp_path / "cache" / "glyphs"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The whole set has 40 and 20 images; each time that images are drawn, how many is added to the list."""
    monkeypatch.setattr(lettering, "TRAIN", 40)
    monkeypatch.setattr(lettering, "TEST", 20)
    drawn: list[int] = []
    original = lettering._drawn

    def counted(signs: str, factors: Any) -> Any:
        drawn.append(len(factors))
        return original(signs, factors)

    monkeypatch.setattr(lettering, "_drawn", counted)
    return drawn


def whole(name: str = "glyphs") -> data.Data:
    return data.glyphs(name, train=lettering.TRAIN, test=lettering.TEST)


def boxes(images: Any) -> np.ndarray:
    """Left, right, top and bottom of the ink, (n, 4), to a part of a pixel: a pixel half grey is half covered."""
    found = []
    for image in images.reshape(-1, 28, 28) / 255.0:
        edges = []
        for profile in (image.max(0), image.max(1)):
            inked = np.flatnonzero(profile > 0)
            edges += [inked[0] + 1 - profile[inked[0]], inked[-1] + profile[inked[-1]]]
        found.append(edges)
    return np.array(found)


# ---------------------------------------------------------------------------------------------------- what they are


def test_glyphs_are_letters_of_mnists_shape_with_labels_and_factors() -> None:
    letters = data.glyphs(train=60, test=30)
    assert (letters.train.shape, letters.test.shape, letters.image_shape) == ((60, 784), (30, 784), (28, 28))
    assert letters.train.dtype == np.uint8 and letters.white == 255
    assert letters.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert letters.train_factors is not None and letters.test_factors is not None
    assert letters.factor_names == ("sign", "face", "bold", "slant", "size", "right", "down")
    assert letters.train_factors.shape == (60, 7) and letters.test_factors.shape == (30, 7)
    np.testing.assert_array_equal(letters.train_labels, letters.train_factors[:, 0])
    np.testing.assert_array_equal(letters.test_labels, letters.test_factors[:, 0])
    assert data.binarization(letters, "bernoulli") == "dynamic"
    covered = letters.intensities(letters.train).mean(1)
    assert (covered > 0.05).all() and 0.15 < covered.mean() < 0.3  # no specks


@pytest.mark.parametrize("name", ["glyphs", "glyphs62"])
def test_every_sign_is_in_every_face_equally_often(name: str) -> None:
    signs = lettering.SIGNS[name]
    factors = lettering._factors(signs)
    for part in (factors[: lettering.TRAIN], factors[lettering.TRAIN :]):
        counts = np.zeros((len(signs), len(lettering.FACES)), int)
        np.add.at(counts, (part[:, 0].astype(int), part[:, 1].astype(int)), 1)
        assert np.ptp(counts) <= 1 and counts.min() >= 7
    first = factors[:1000, 0]
    assert len(set(first)) == len(signs), "the first ones are not sorted by sign"
    low, high = factors[:, 3:].min(0), factors[:, 3:].max(0)
    np.testing.assert_allclose(low, [-12, 20, -1.5, -1.5], atol=0.01)
    np.testing.assert_allclose(high, [12, 25, 1.5, 1.5], atol=0.01)


def test_size_and_place_are_those_of_the_factors() -> None:
    letters = data.glyphs(train=400, test=1)
    assert letters.train_factors is not None
    left, right, top, bottom = boxes(letters.train).T
    size, across, down = letters.train_factors[:, [COLUMN["size"], COLUMN["right"], COLUMN["down"]]].T
    more = np.maximum(right - left, bottom - top) - size
    assert (
        -1.5 < more.min() and more.max() < 0.3 and abs(more).mean() < 0.3
    )  # the tips of an X are thin, and look short
    assert abs((left + right) / 2 - 14 - across).max() < 0.5 and abs((top + bottom) / 2 - 14 - down).max() < 0.5
    assert (left >= 0).all() and (right <= 28).all()


def test_sign_slant_and_weight_are_those_of_the_factors() -> None:
    """The letter I in a face without serifs is a bar: its slope is the slant, and its width the weight."""
    font = lettering._freetype().truetype(str(lettering._fonts() / "DejaVuSans.ttf"), lettering.DRAWN_AT)
    bar = lettering._master(font, "I")
    down = np.arange(28)[:, None] + 0.5
    for slant in (-12.0, 0.0, 7.0):
        image = lettering.draw(bar, slant, 24.0, 0.0, 0.0) / 255.0
        rows = image[4:24]
        middle = (rows * (np.arange(28) + 0.5)).sum(1) / rows.sum(1)
        slope = np.polyfit(down[4:24, 0], middle, 1)[0]
        assert np.degrees(np.arctan(-slope)) == pytest.approx(slant, abs=0.3)
    letters = data.glyphs(train=800, test=1)
    assert letters.train_factors is not None
    ink, bold = letters.train.mean(1), letters.train_factors[:, COLUMN["bold"]] == 1
    assert ink[bold].mean() > 1.3 * ink[~bold].mean()
    assert {lettering.FACES[int(f)][1] for f in letters.train_factors[bold, 1]} == {True}


def test_images_of_one_sign_are_alike_and_those_of_others_are_not() -> None:
    """The nearest other image shows the same letter for most: labels and images belong together."""
    letters = data.glyphs(train=1500, test=200)
    x, y = letters.intensities(letters.test), letters.intensities(letters.train)
    near = ((y**2).sum(1) - 2 * x @ y.T).argmin(1)
    assert letters.train_labels is not None and letters.test_labels is not None
    assert (letters.train_labels[near] == letters.test_labels).mean() > 0.8


KNOWN = {  # version of fonts and Pillow -> the first 300 and 20 images
    "e875af7f0234": "897440ee9c91d8df",
}


def test_images_are_the_same_bytes_for_one_version_of_fonts_and_pillow() -> None:
    letters = data.glyphs(train=300, test=20)
    digest = hashlib.sha256(letters.train.tobytes() + letters.test.tobytes()).hexdigest()[:16]
    version = lettering.version("glyphs")
    if version not in KNOWN:
        pytest.skip(f"no digest for matplotlib {matplotlib.__version__}, Pillow {PIL.__version__}")
    assert digest == KNOWN[version]


def test_fewer_images_are_the_first_of_many() -> None:
    few, many = data.glyphs("glyphs62", train=20, test=5), data.glyphs("glyphs62", train=50, test=9).first(20, 5)
    assert few.fingerprint() == many.fingerprint() and len(few.classes) == 62
    for name in ("train_labels", "test_labels", "train_factors", "test_factors"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "Expected `train` to be a whole number from 1 to 60,000, but got 0"),
        ({"test": 10_001}, "Expected `test` to be a whole number from 1 to 10,000, but got 10001"),
        ({"train": 2.5}, "`train` to be a whole number"),
        ({"train": True}, "`train` to be a whole number"),
        ({"signs": "runes"}, 'Expected `signs` to be "glyphs" or "glyphs62", but got \'runes\''),
    ],
)
def test_numbers_and_names_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.glyphs(**arguments)


@pytest.mark.parametrize(("package", "message"), [("PIL", "pip install pillow"), ("matplotlib", "install matplotlib")])
def test_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch, package: str, message: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(DataError, match=message):
        data.glyphs(train=1, test=1)


def test_missing_font_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"lacks DejaVuSans\.ttf, .*cmtt10\.ttf\. Some distributions"):
        data.glyphs(train=1, test=1)


# ------------------------------------------------------------------------------------------------------------ cache


def test_whole_set_is_drawn_once_and_parts_are_read_from_it(cache: Path, small: list[int]) -> None:
    first = whole()
    assert small == [60] and [path.suffix for path in cache.iterdir()] == [".npz"]
    assert whole().fingerprint() == first.fingerprint()
    np.testing.assert_array_equal(data.glyphs(train=3, test=2).test, first.test[:2])
    assert small == [60]
    whole("glyphs62")
    assert small == [60, 60] and len(list(cache.iterdir())) == 2


def test_parts_are_not_kept(cache: Path, small: list[int]) -> None:
    data.glyphs(train=3, test=2)
    assert small == [5] and not cache.exists()


def test_folder_that_is_named_is_looked_at_first(
    cache: Path, small: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole()
    cache.rename(tmp_path / "own")
    (tmp_path / "shared").mkdir()
    (tmp_path / "own").rename(tmp_path / "shared" / "glyphs")
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "shared"))
    whole()
    assert small == [60] and not cache.exists()


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "other"])
def test_damaged_file_is_drawn_again(cache: Path, small: list[int], damage: str) -> None:
    first = whole()
    (path,) = cache.iterdir()
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "other":
        np.savez(path, images=np.zeros((3, 784), np.uint8))
    else:
        path.write_bytes(
            {
                "cut": content[:-100],
                "altered": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
                "empty": b"",
            }[damage]
        )
    with pytest.warns(UserWarning, match="cut off or damaged: the glyphs are drawn again"):
        assert whole().fingerprint() == first.fingerprint()
    assert small == [60, 60]
    whole()
    assert small == [60, 60] and len(list(cache.iterdir())) == 1


def test_other_fonts_or_another_freetype_are_another_file(
    cache: Path, small: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole()
    monkeypatch.setattr(features, "version", lambda name: "1.0.0")
    whole()
    assert small == [60, 60] and len(list(cache.iterdir())) == 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever may write everywhere is not stopped")
def test_cache_that_cannot_be_written_is_done_without(cache: Path, small: list[int]) -> None:
    cache.parent.mkdir()
    cache.parent.chmod(0o500)
    with pytest.warns(UserWarning, match="Could not keep the glyphs"):
        assert len(whole().train) == 40


def test_cache_that_is_a_file_is_done_without(cache: Path, small: list[int]) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    with pytest.warns(UserWarning, match="Could not keep the glyphs in .* drawn again next time"):
        assert len(whole().train) == 40


def test_interrupted_drawing_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch, small: list[int]) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stopped)
    with pytest.raises(KeyboardInterrupt):
        whole()
    assert list(cache.iterdir()) == []


def test_two_at_once_leave_one_whole_file(cache: Path, small: list[int]) -> None:
    prints: list[str] = []
    both = [threading.Thread(target=lambda: prints.append(whole().fingerprint())) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(set(prints)) == 1 and len(prints) == 2 and len(list(cache.iterdir())) == 1


def test_bar_is_shown_on_a_terminal_and_silent_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data.glyphs(train=5, test=5)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    data.glyphs(train=5, test=5)
    assert "drawing 10 glyphs" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- images, patches


def test_images_are_mnist_where_its_files_are_found_and_glyphs_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> Path:
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(idx, "_download", no_network)
    assert data.images(train=3, test=2).name == "glyphs"
    files = {}
    for key, file in idx.MNIST.items():
        shape = (9, *file.shape[1:])
        content = idx.IdxFile(file.name, shape, "").header + bytes(int(np.prod(shape)))
        files[key] = idx.IdxFile(file.name, shape, hashlib.sha256(content).hexdigest())
        (tmp_path / file.name).write_bytes(content)
    monkeypatch.setattr(idx, "MNIST", files)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path))
    found = data.images(train=3, test=2)
    assert found.name == "mnist" and found.train.shape == (3, 784) and found.test_labels is not None
    (tmp_path / idx.MNIST["test"].name).unlink()  # of three files no MNIST can be made
    assert data.images(train=3, test=2).name == "glyphs"


def test_patches_are_pieces_of_the_photographs_and_none_is_in_both_parts() -> None:
    from sklearn.datasets import load_sample_images

    pieces = data.patches(12, train=40, test=20)
    assert (pieces.train.shape, pieces.test.shape, pieces.image_shape) == ((40, 144), (20, 144), (12, 12))
    weights = [0.299, 0.587, 0.114]
    photographs = [np.round(photograph @ weights).astype(np.uint8) for photograph in load_sample_images().images]
    windows = [np.lib.stride_tricks.sliding_window_view(photograph, (12, 12)) for photograph in photographs]
    assert pieces.train_labels is not None and pieces.test_labels is not None
    for part, labels in ((pieces.train, pieces.train_labels), (pieces.test, pieces.test_labels)):
        for piece, label in list(zip(part, labels, strict=True))[:2]:
            here = windows[label]
            rows, columns = np.nonzero((here[:, :, 0, 0] == piece[0]) & (here[:, :, 5, 7] == piece[5 * 12 + 7]))
            same = (here[rows, columns].reshape(-1, 144) == piece).all(1)
            border = 3 * photographs[label].shape[1] // 4
            assert (columns[same] + 12 <= border).any() if part is pieces.train else (columns[same] >= border).any()
        assert abs(labels.mean() - 0.5) < 1e-12


def test_patches_depend_on_the_seed_alone_and_their_first_components_are_brightness_and_slopes() -> None:
    pieces = data.patches(8, train=4000, test=2)
    assert (
        pieces.fingerprint()
        == data.patches(8, train=4000, test=2).fingerprint()
        == data.patches(8, train=4000, test=2, seed=0).fingerprint()
    )
    assert pieces.fingerprint() != data.patches(8, train=4000, test=2, seed=1).fingerprint()
    x = pieces.intensities(pieces.train)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    first, second, third = vectors[:, -3:][:, ::-1].T
    ramp = np.arange(8) - 3.5
    down, right = np.repeat(ramp, 8), np.tile(ramp, 8)
    assert abs(first.sum()) / 8 > 0.99  # one brightness
    for vector in (second, third):  # a slope down or to the right, or between them
        along = np.array([vector @ down, vector @ right]) / np.linalg.norm(down)
        assert np.linalg.norm(along) > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 1}, "Expected `side` to be a whole number from 2 to 100, but got 1"),
        ({"side": 101}, "`side`"),
        ({"train": 1}, "Expected `train` to be a whole number from 2"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_patches_that_cannot_be_cut_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.patches(**arguments)


def test_factors_of_another_length_are_refused() -> None:
    x = np.zeros((4, 3), np.uint8)
    with pytest.raises(DataError, match=r"`test_factors` of x to have shape \(4, 1\), one row for each example"):
        data.Data("x", x, x, (3,), 1.0, factor_names=("size",), test_factors=np.zeros(4))


def test_first_of_the_data_refuses_no_examples() -> None:
    with pytest.raises(DataError, match="Expected `test` to be a whole number of examples >= 1, but got 0"):
        data.load("digits").first(3, 0)
