"""Draw the pictures of docs/concepts.md into docs/figures/concepts. Usage: python docs/site/draw_concepts.py

They are 460 wide with letters of 13 points, so that they can be read on a telephone, and have a ground of their own,
so that they can be read on a dark page.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

FOLDER = Path(__file__).parents[1] / "figures" / "concepts"
WIDTH = 460
INK, SOFT, DATA, MODEL, WIRING = "#24292f", "#8c959f", "#0969da", "#cf222e", "#57606a"


class Picture:
    """An SVG picture that is drawn element by element."""

    def __init__(self, height: int, title: str) -> None:
        self.height, self.title = height, title
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, *, fill: str = INK, anchor: str = "middle", bold: bool = False
    ) -> None:
        """Write words around `x`."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}"{weight}>{escape(words)}</text>')

    def dot(self, x: float, y: float, *, r: float = 10, fill: str = "white", stroke: str = WIRING) -> None:
        """Draw a neuron."""
        self.parts.append(f'<circle cx="{x}" cy="{y}" r="{r}" fill="{fill}" stroke="{stroke}" stroke-width="2"/>')

    def box(self, x: float, y: float, width: float, height: float, *, fill: str = "none", stroke: str = SOFT) -> None:
        """Draw a rounded box."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{stroke}"/>'
        )

    def line(self, points: list[tuple[float, float]], *, stroke: str = INK, width: float = 2, dash: str = "") -> None:
        """Draw a line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"{dashed}/>')

    def arrow(self, start: tuple[float, float], end: tuple[float, float], *, stroke: str = INK, dash: str = "") -> None:
        """Draw an arrow."""
        (x, y), (to_x, to_y) = start, end
        length = np.hypot(to_x - x, to_y - y)
        along = np.array([to_x - x, to_y - y]) / length
        across = np.array([-along[1], along[0]])
        tip = np.array(end)
        self.line([start, tuple(tip - 6 * along)], stroke=stroke, dash=dash)
        corners = [tip, tip - 9 * along + 4.5 * across, tip - 9 * along - 4.5 * across]
        self.parts.append(f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" fill="{stroke}"/>')

    def save(self, name: str) -> None:
        """Write the picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(self.title)}</title>'
            f'<rect width="{WIDTH}" height="{self.height}" fill="white"/>'
        )
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}.svg").write_text("\n".join([head, *self.parts, "</svg>"]) + "\n", encoding="utf-8")


def trace(x: float, y: float, width: float, height: float, seed: int, frames: int = 60) -> list[tuple[float, float]]:
    """Points of a made-up trace."""
    random = np.random.default_rng(seed)
    values = np.convolve(random.normal(size=frames + 8), np.ones(8) / 8, "valid")[:frames]
    values = (values - values.min()) / np.ptp(values)
    return list(zip(x + np.linspace(0, width, frames), y + height * (1 - values), strict=True))


def draw_pieces() -> None:
    """What goes in: a connectome, and recordings in three parts."""
    picture = Picture(
        190, "A connectome of many neurons, some of them recorded; each recording is cut into three parts"
    )
    picture.text(90, 20, "connectome", bold=True)
    places = [(40, 60), (100, 45), (150, 85), (115, 125), (55, 130), (95, 85)]
    for a, b in [(0, 5), (5, 1), (1, 2), (2, 3), (3, 5), (4, 5), (0, 4), (3, 4)]:
        picture.line([places[a], places[b]], stroke=SOFT, width=1.5)
    for k, (x, y) in enumerate(places):
        picture.dot(x, y, fill=DATA if k in (1, 3, 4) else "white")
    picture.text(95, 165, "blue: recorded", fill=DATA)
    picture.text(95, 182, "white: hidden", fill=WIRING)
    picture.text(325, 20, "recording", bold=True)
    for k in range(3):
        picture.line(trace(210, 38 + 36 * k, 235, 26, k), stroke=DATA, width=1.5)
    for x, end, name in ((210, 340, "train"), (344, 384, "valid."), (388, 445, "test")):
        picture.box(x, 150, end - x, 20, fill="#f6f8fa")
        picture.text((x + end) / 2, 164, name)
    picture.text(325, 184, "time", fill=SOFT)
    picture.save("pieces")


def draw_drive() -> None:
    """The three ways through the model in one step."""
    picture = Picture(250, "Recorded activity drives neurons; neurons act through the wiring; the read-out predicts")
    picture.text(55, 22, "frame t − 1", bold=True)
    picture.text(230, 22, "neurons", bold=True)
    picture.text(405, 22, "frame t", bold=True)
    for k, y in enumerate((70, 130)):
        picture.dot(55, y, r=12, fill="#ddf4ff", stroke=DATA)
        picture.text(55, y + 5, f"u{k + 1}", fill=DATA)
        picture.dot(405, y, r=12, fill="#ffebe9", stroke=MODEL)
        picture.text(405, y + 5, f"y{k + 1}", fill=MODEL)
    places = [(205, 60), (255, 85), (205, 125), (255, 160), (205, 185)]
    for a, b in [(0, 1), (1, 3), (3, 2), (2, 0), (4, 3), (2, 4)]:
        (x, y), (to_x, to_y) = places[a], places[b]
        far = np.hypot(to_x - x, to_y - y)
        step = ((to_x - x) / far * 11, (to_y - y) / far * 11)
        picture.arrow((x + step[0], y + step[1]), (to_x - step[0], to_y - step[1]), stroke=WIRING)
    for start, end in (((68, 70), (193, 61)), ((68, 74), (193, 122)), ((68, 130), (193, 183))):
        picture.arrow(start, end, stroke=DATA)
    for start, end in (((266, 85), (392, 71)), ((266, 160), (392, 132)), ((216, 60), (392, 66))):
        picture.arrow(start, end, stroke=MODEL)
    for x, y in places:
        picture.dot(x, y)
    picture.text(100, 218, "drive: learned", fill=DATA)
    picture.text(230, 236, "wiring: signs fixed, weights learned", fill=WIRING)
    picture.text(378, 218, "read-out: fixed", fill=MODEL)
    picture.save("drive")


def draw_running() -> None:
    """Teacher forcing beside a free run."""
    picture = Picture(185, "In teacher forcing each step sees the recorded frame before it; a free run sees its own")
    picture.text(230, 20, "teacher forcing: each step sees what was recorded", bold=True)
    picture.text(230, 135, "free run: each step sees its own prediction", bold=True)
    for y, name, fill in ((48, "u", DATA), (98, "y", MODEL), (163, "y", MODEL)):
        picture.text(20, y + 5, name, fill=fill)
        for k in range(5):
            picture.dot(60 + 85 * k, y, r=9, fill="#ddf4ff" if fill == DATA else "#ffebe9", stroke=fill)
    for x in range(60, 400, 85):
        picture.arrow((x + 8, 53), (x + 77, 92), stroke=DATA)
        picture.arrow((x + 10, 163), (x + 74, 163), stroke=MODEL)
    picture.save("running")


def draw_credit() -> None:
    """How far blame for an error travels back."""
    picture = Picture(
        200, "Credit none stays at the step of the error; neuron goes back in one neuron; network everywhere"
    )
    for panel, name in enumerate(("none", "neuron", "network")):
        left = 12 + 150 * panel
        picture.text(left + 68, 20, f'credit "{name}"', bold=True)
        column, row = [left + 18, left + 68, left + 118], [60, 105, 150]
        back = []
        if name != "none":
            back += [((2, 1), (1, 1)), ((1, 1), (0, 1))]
        if name == "network":
            back += [
                ((2, 1), (1, 0)),
                ((2, 1), (1, 2)),
                ((1, 0), (0, 0)),
                ((1, 2), (0, 2)),
                ((1, 1), (0, 0)),
                ((1, 1), (0, 2)),
            ]
        reached = {(2, 1)} | {end for _, end in back}
        for (a, b), (c, d) in back:
            start, end = np.array([column[a], row[b]], float), np.array([column[c], row[d]], float)
            along = (end - start) / np.linalg.norm(end - start)
            picture.arrow(tuple(start + 10 * along), tuple(end - 10 * along), stroke=MODEL)
        for a in range(3):
            for b in range(3):
                hit = (a, b) in reached
                picture.dot(column[a], row[b], r=9, fill="#ffebe9" if hit else "white", stroke=MODEL if hit else SOFT)
        picture.text(column[2], row[1] - 15, "error", fill=MODEL)
        picture.text(left + 68, 186, "time →", fill=SOFT)
    picture.save("credit")


def draw_carry() -> None:
    """What passes from a window to the next."""
    picture = Picture(
        190, "A window of K steps updates the parameters at its end; carry says what the next one still knows"
    )
    for left, name in ((20, "window 1: K steps"), (250, "window 2: K steps")):
        picture.box(left, 40, 190, 60, fill="#f6f8fa")
        picture.text(left + 95, 30, name, bold=True)
        for k in range(6):
            picture.dot(left + 20 + 30 * k, 62, r=7, fill="#ffebe9", stroke=MODEL)
        picture.arrow((left + 172, 85), (left + 15, 85), stroke=MODEL)
    picture.arrow((210, 70), (250, 70), stroke=DATA)
    picture.text(115, 118, "gradient, then update", fill=MODEL)
    picture.text(345, 118, "gradient, then update", fill=MODEL)
    picture.text(230, 142, "carry: what window 2 knows of the steps before it", fill=DATA, bold=True)
    picture.text(230, 160, "trace: a number per connection  ·  factorised: two per neuron", fill=INK)
    picture.text(230, 178, "history: the last steps  ·  none: nothing", fill=INK)
    picture.save("carry")


def draw_forcing() -> None:
    """How a state follows a recording at three values of state forcing."""
    picture = Picture(
        200, "With forcing 0 the state runs by itself, with 1 it starts each step from the recorded value"
    )
    random = np.random.default_rng(4)
    recorded = 0.5 + 0.35 * np.sin(np.arange(24) / 3.0) + 0.06 * random.normal(size=24)
    x = 25 + np.arange(24) * 14.5

    def height(values: np.ndarray) -> list[tuple[float, float]]:
        return list(zip(x, 165 - 130 * values, strict=True))

    for phi, shade, name in ((0.0, SOFT, "φ = 0"), (0.5, "#bf8700", "φ = 0.5"), (1.0, MODEL, "φ = 1")):
        state, states = 0.5, []
        for value in recorded:
            states.append(state)
            corrected = state + phi * (value - state)
            state = corrected + 0.12 * (0.5 - corrected)
        points = height(np.array(states))
        picture.line(points, stroke=shade, width=2.5)
        picture.text(
            x[-1] + 12, {0.0: points[-1][1] + 5, 0.5: 128, 1.0: 148}[phi], name, fill=shade, anchor="start", bold=True
        )
    for px, py in height(recorded):
        picture.dot(px, py, r=3.5, fill=DATA, stroke=DATA)
    picture.text(25, 22, "dots: recorded;  lines: the state before each step", fill=INK, anchor="start")
    picture.text(190, 192, "frames →", fill=SOFT)
    picture.save("forcing")


def main() -> None:
    """Draw all of them."""
    for draw in (draw_pieces, draw_drive, draw_running, draw_credit, draw_carry, draw_forcing):
        draw()


if __name__ == "__main__":
    main()
