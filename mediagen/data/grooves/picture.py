"""A piano roll of a piece: bars, chords, notes by part, drum fills. For looking at, and for the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .drums import KEYS
from .plan import Note, Part, Piece
from .theory import key_name

COLOURS = {"lead": (214, 69, 65), "chords": (46, 134, 193), "pad": (142, 200, 190), "bass": (120, 81, 169),
           "drums": (70, 70, 70)}  # fmt: skip
LEFT, TOP, ROW, LANE = 96, 34, 6, 9


def piano_roll(piece: Piece, width: int = 1400) -> np.ndarray:
    """uint8 [H, width, 3]: pitch upwards, time to the right, one colour a part, loud notes darker, drums below."""
    from PIL import Image, ImageDraw

    pitched = [n for part in piece.parts if not part.drums for n in part.notes]
    low, high = (min(n.pitch for n in pitched) - 2, max(n.pitch for n in pitched) + 3) if pitched else (58, 62)
    lanes = sorted({n.pitch for part in piece.parts if part.drums for n in part.notes})
    height = TOP + (high - low) * ROW + 12 + len(lanes) * LANE + 20
    image = Image.new("RGB", (width, height), (252, 252, 250))
    page = _Page(piece, ImageDraw.Draw(image), width, low, high, lanes)
    page.grid(height)
    for part in sorted(piece.parts, key=lambda p: p.role != "pad"):
        page.part(part)
    page.legend()
    return np.asarray(image)


def save_piano_roll(piece: Piece, file: str | Path, width: int = 1400) -> None:
    """Writes the piano roll as a picture file (PNG by its name)."""
    from PIL import Image

    Image.fromarray(piano_roll(piece, width)).save(file)


class _Page:
    def __init__(self, piece: Piece, draw: Any, width: int, low: int, high: int, lanes: list[int]) -> None:
        self.piece, self.draw, self.low, self.high, self.lanes = piece, draw, low, high, lanes
        self.scale = (width - LEFT - 10) / piece.outline.beats

    def x(self, beat: float) -> float:
        return LEFT + beat * self.scale

    def y(self, pitch: int) -> int:
        return TOP + (self.high - pitch) * ROW

    def lane(self, key: int) -> int:
        return TOP + (self.high - self.low) * ROW + 12 + (len(self.lanes) - 1 - self.lanes.index(key)) * LANE

    def grid(self, height: int) -> None:
        """Lines of beats, bars and phrases; names of chords, octaves and drums; fills shaded."""
        form = self.piece.outline
        for start, end in self.piece.fills:
            self.draw.rectangle((self.x(start), TOP, self.x(end), height - 18), fill=(250, 240, 214))
        for beat in range(form.beats + 1):
            bar, within = divmod(beat, form.metre.beats)
            shade = 225 if within else 120 if form.starts_phrase(bar) else 180
            self.draw.line((self.x(beat), TOP, self.x(beat), height - 18), fill=(shade, shade, shade))
        for span in self.piece.chords:
            self.draw.text((self.x(span.start) + 2, TOP - 13), span.chord.name, fill=(60, 60, 60))
        for pitch in range(self.low, self.high):
            if pitch % 12 == 0:
                self.draw.line((LEFT, self.y(pitch) + ROW, LEFT + 2000, self.y(pitch) + ROW), fill=(205, 205, 205))
                self.draw.text((LEFT - 24, self.y(pitch) - 4), f"C{pitch // 12 - 1}", fill=(90, 90, 90))
        names = {key: name for name, key in KEYS.items()}
        for key in self.lanes:
            self.draw.text((4, self.lane(key) - 2), names.get(key, str(key)), fill=(90, 90, 90))

    def part(self, part: Part) -> None:
        for note in part.notes:
            self.note(part, note)

    def note(self, part: Part, note: Note) -> None:
        weight = 0.35 + 0.65 * note.velocity / 127
        fill = tuple(round(255 - (255 - c) * weight) for c in COLOURS[part.role])
        if part.drums:
            x, y = self.x(note.start), self.lane(note.pitch)
            self.draw.rectangle((x, y + 1, x + 4, y + LANE - 2), fill=fill)
        else:
            x, y, end = self.x(note.start), self.y(note.pitch), self.x(note.end)
            self.draw.rectangle((x, y, max(end - 1.5, x + 1.5), y + ROW - 1), fill=fill)

    def legend(self) -> None:
        form = self.piece.outline
        key = f"{key_name(form.tonic, form.mode)} {form.mode}"
        text = (
            f"{form.genre.name}, {form.arrangement}, {key}, {form.metre.name}, {form.tempo} bpm, {form.seconds:.1f} s"
            f"{'' if form.ends else ', stops before the last bar'}"
        )
        self.draw.text((6, 4), f"{text}   swing {form.swing:.2f}", fill=(30, 30, 30))
        x = 640
        for part in self.piece.parts:
            label = f"{part.role}: {part.instrument.name} ({part.pattern})"
            self.draw.text((x, 4), label, fill=COLOURS[part.role])
            x += 8 + 6 * len(label)
