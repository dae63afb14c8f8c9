"""Text that is safe to print, whatever stands in it and wherever it goes."""

from __future__ import annotations

ASCII_SPELLING = str.maketrans(
    {"–": "-", "—": "-", "×": "x", "±": "+-", "…": "...", "█": "#", "→": "->", "‖": "||"}
)


def printable(text: str, encoding: str) -> str:
    """Escape control characters, and spell in ASCII what `encoding` lacks."""
    text = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII_SPELLING).encode(encoding, "backslashreplace").decode(encoding)
    return text
