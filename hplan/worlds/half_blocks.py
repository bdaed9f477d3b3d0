"""Images in a terminal: every character is two pixels, one above the other, as a half block with colours of its own."""

from __future__ import annotations

import numpy as np

UPPER = "▀"
WIDEST = 64  # characters of a line; a wider image is thinned out


def half_blocks(image: np.ndarray) -> str:
    """(H, W, C) uint8, of one, three or more channels, the first three of which are colours -> lines with ANSI colours;
    two rows of pixels are one line."""
    step = -(-image.shape[1] // WIDEST)
    seen = image[::step, ::step, :3]
    if seen.shape[2] < 3:
        seen = seen[..., :1].repeat(3, 2)
    if len(seen) % 2:
        seen = np.concatenate([seen, np.zeros_like(seen[:1])])
    pairs = np.concatenate([seen[::2], seen[1::2]], 2)  # (H / 2, W, 6)
    lines = []
    for row in pairs:
        begins = np.flatnonzero(np.concatenate([[True], (row[1:] != row[:-1]).any(1)]))
        lengths = np.diff(np.append(begins, len(row)))
        line = [
            f"\x1b[38;2;{r};{g};{b}m\x1b[48;2;{x};{y};{z}m{UPPER * int(count)}"
            for (r, g, b, x, y, z), count in zip(row[begins].tolist(), lengths, strict=True)
        ]
        lines.append("".join(line) + "\x1b[0m")
    return "\n".join(lines)
