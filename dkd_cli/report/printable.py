"""Makes any text safe to print on any output."""

from __future__ import annotations

ASCII_SPELLING = str.maketrans(
    {"–": "-", "—": "-", "×": "x", "±": "+-", "…": "...", "█": "#", "→": "->", "‖": "||"}
)


def printable(text: str, encoding: str) -> str:
    """Escape control characters, and transliterate what `encoding` lacks to ASCII."""
    text = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII_SPELLING).encode(encoding, "backslashreplace").decode(encoding)
    return text
