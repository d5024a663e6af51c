"""A line chart as a PNG file: by matplotlib where it is installed, else drawn here."""

from __future__ import annotations

import importlib
import itertools
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# 3 x 5 dots for each sign that an axis needs, a row in three bits.
_SIGNS = {
    "0": [7, 5, 5, 5, 7],
    "1": [2, 6, 2, 2, 7],
    "2": [7, 1, 7, 4, 7],
    "3": [7, 1, 7, 1, 7],
    "4": [5, 5, 7, 1, 1],
    "5": [7, 4, 7, 1, 7],
    "6": [7, 4, 7, 5, 7],
    "7": [7, 1, 1, 1, 1],
    "8": [7, 5, 7, 5, 7],
    "9": [7, 5, 7, 1, 7],
    ".": [0, 0, 0, 0, 2],
    "-": [0, 0, 7, 0, 0],
    "k": [4, 5, 6, 5, 5],
    "M": [5, 7, 7, 5, 5],
}


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode an image.

    Parameters
    ----------
    pixels : ndarray of uint8, [height, width, 3]
        Red, green, blue.

    Returns
    -------
    bytes
        A PNG file.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def _label(value: float) -> str:
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5 or 1.0
    unit = 10 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.full((height, width, 3), 255, np.uint8)

    def dot(self, x: int, y: int, colour: tuple[int, int, int], size: int = 1) -> None:
        height, width, _ = self.pixels.shape
        self.pixels[max(0, y) : min(height, y + size), max(0, x) : min(width, x + size)] = colour

    def line(
        self,
        a: tuple[float, float],
        b: tuple[float, float],
        colour: tuple[int, int, int],
        size: int,
    ) -> None:
        steps = max(1, int(max(abs(b[0] - a[0]), abs(b[1] - a[1]))))
        for i in range(steps + 1):
            t = i / steps
            self.dot(round(a[0] + t * (b[0] - a[0])), round(a[1] + t * (b[1] - a[1])), colour, size)

    def text(self, x: int, y: int, text: str, size: int = 3) -> None:
        for sign in text:
            for row, bits in enumerate(_SIGNS.get(sign, [0] * 5)):
                for column in range(3):
                    if bits >> (2 - column) & 1:
                        self.dot(x + column * size, y + row * size, (60, 60, 60), size)
            x += 4 * size


def draw_chart(xs: Sequence[float], ys: Sequence[float], target: float | None = None) -> bytes:
    """Draw a curve with axes; a PNG file of 800 x 480 pixels."""
    left, right, top, bottom = 90, 780, 20, 430
    canvas = _Canvas(800, 480)
    x_low, x_high = min(xs), max(xs)
    y_low = min(0.0, *ys, *([] if target is None else [target]))
    y_high = max(*ys, *([] if target is None else [target]), y_low + 1e-9) * 1.05

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low or 1.0)
        up = (y - y_low) / (y_high - y_low or 1.0)
        return left + across * (right - left), bottom - up * (bottom - top)

    for tick in _ticks(y_low, y_high):
        _, y = place(x_low, tick)
        canvas.line((left, y), (right, y), (225, 225, 225), 1)
        label = _label(tick)
        canvas.text(left - 10 - 12 * len(label), round(y) - 7, label)
    for tick in _ticks(x_low, x_high):
        x, _ = place(tick, y_low)
        canvas.line((x, top), (x, bottom), (225, 225, 225), 1)
        label = _label(tick)
        canvas.text(round(x) - 6 * len(label), bottom + 12, label)
    if target is not None:
        canvas.line(place(x_low, target), place(x_high, target), (200, 80, 60), 1)
    points = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    for a, b in itertools.pairwise(points):
        canvas.line(a, b, (30, 90, 170), 3)
    canvas.line((left, top), (left, bottom), (60, 60, 60), 2)
    canvas.line((left, bottom), (right, bottom), (60, 60, 60), 2)
    return encode_png(canvas.pixels)


def save_curve(
    path: Path,
    xs: Sequence[float],
    ys: Sequence[float],
    target: float | None = None,
    x_label: str = "environment steps",
    y_label: str = "mean return",
) -> None:
    """Write a learning curve.

    Parameters
    ----------
    path : Path
        The PNG file.
    xs, ys : sequence of float
        At least one point.
    target : float, optional
        A line across.
    x_label, y_label : str
        Axes, where matplotlib draws them.
    """
    try:
        matplotlib: Any = importlib.import_module("matplotlib")  # optional, and without types
        matplotlib.use("Agg")
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        path.write_bytes(draw_chart(xs, ys, target))
        return
    figure, axes = pyplot.subplots(figsize=(8, 4.8))
    axes.plot(xs, ys, color="#1e5aaa")
    if target is not None:
        axes.axhline(target, color="#c8503c", linewidth=1, label=f"target {target:g}")
        axes.legend(loc="lower right")
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
