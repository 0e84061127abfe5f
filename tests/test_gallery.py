"""tools/gallery.py: a run becomes one small picture, the same each time."""

from __future__ import annotations

from pathlib import Path

import gallery

from vaelib.data import load
from vaelib.train import TrainConfig, fit


def test_gallery_of_a_run_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    data = load("digits")
    fit(TrainConfig.suited_to(data, epochs=1, hidden=(8,), device="cpu"), data, out=tmp_path / "run")
    first = gallery.save(tmp_path / "run", tmp_path / "docs" / "gallery.png").read_bytes()
    assert first.startswith(b"\x89PNG") and len(first) < 300_000
    assert gallery.save(tmp_path / "run", tmp_path / "again.png").read_bytes() == first
    drawn = gallery.figure(gallery.load_model(tmp_path / "run", "cpu"), data, "dynamic")
    grids = [ax.images[0].get_array().shape for ax in drawn.axes]  # 6 rows of 8 pixels and 5 gaps between them
    assert grids == [(53, 12 * 9 - 1), (53, 9 * 9 - 1), (53, 9 * 9 - 1)]
