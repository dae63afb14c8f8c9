"""From the bytes of a text file to its text: gzip, byte order marks, UTF-8, and Windows' western encoding.

Knows nothing about columns or rows.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib

from dkd_cli.errors import DataError, RecipeError

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
WESTERN = "cp1252"
"""The only encoding without a mark that is recognised: Excel and older Windows programs write it."""
STRANGE_SHARE = 0.02
"""Of the characters beyond ASCII, those that may stand where no cp1252 text has them."""
HALF = "holds half a character (a lone surrogate)"

# The longer marks first: that of UTF-32 begins with that of UTF-16.
MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STRANGE = re.compile(
    # a capital after a small letter, as where Mac OS Roman's é is read as cp1252
    r"(?<=[a-zß-öø-ÿšžœ])[À-ÖØ-ÞŠŽŒŸ]"
    # four accented letters in a row, as everywhere in Cyrillic or Greek
    r"|[À-ÖØ-öø-ÿŠŽŒšžœŸ]{4,}"
    # a sign inside a word, as in Polish or in Chinese
    r"|(?<=[^\W\d_])[¡-©«¬®-¶¸-¿×÷€‚ƒ„†‡ˆ‰‹›“”•˜™](?=[^\W\d_])"
    # a sign that begins a quotation, after a letter: DOS's é
    r"|(?<=[^\W\d_])[‚„ˆƒ]"
)


def unpacked(content: bytes, place: str) -> bytes:
    """The bytes of a file, decompressed where they are gzip's.

    Raises:
        DataError: the archive is damaged or cut off.
    """
    if not content.startswith(GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            place, f"not a whole gzip file ({error})", "compress it again; it may be cut off"
        ) from error


def decode(content: bytes, place: str, encoding: str | None) -> tuple[str, str | None]:
    """Decode a text file.

    Args:
        content: the whole file, not compressed.
        place: how the user named it.
        encoding: the recipe's, for a file that is not UTF-8 and has no byte order mark.

    Returns:
        The text, and the encoding where it was guessed.

    Raises:
        DataError: the file is empty, damaged or in an encoding that is not recognised.
        RecipeError: there is no such encoding.
    """
    if content.startswith(ZIP):
        raise DataError(
            place,
            "is a zip archive or an Excel workbook, not text",
            "name a workbook .xlsx, or unpack the archive",
        )
    text, guessed = _decoded(content, place, encoding)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        remedy = "the file is damaged or not a text file"
        if content.count(b"\0") > len(content) // 3:
            # Of a Latin letter the first byte is 0 where the large end comes first.
            end = "be" if content[::2].count(b"\0") > content[1::2].count(b"\0") else "le"
            remedy = f"if it is UTF-16 without a byte order mark, set data.encoding: utf-16-{end}"
        raise DataError(f"{place}:{line}", "a NUL character", remedy)
    if not text.strip():
        raise DataError(place, "the file is empty", "name one that has rows")
    if not encodable(text):  # some encodings have escapes of their own
        raise DataError(place, HALF, "name its encoding in data.encoding")
    return text, guessed


def _decoded(content: bytes, place: str, encoding: str | None) -> tuple[str, str | None]:
    marked = mark(content)
    try:
        text = content.decode(marked or "utf-8-sig")
    except UnicodeDecodeError as error:
        if marked is None and encoding is None and (western := as_western(content)) is not None:
            return western, WESTERN
        return _declared(content, place, None if marked else encoding, error), None
    if "\0" in text and marked is None and encoding is not None:  # ASCII in UTF-16 is UTF-8 with NULs
        return _declared(content, place, encoding, None), None
    return text, None


def mark(content: bytes) -> str | None:
    """The encoding that a byte order mark says, but for UTF-8's."""
    return next((name for mark, name in MARKS if content.startswith(mark)), None)


def as_western(content: bytes) -> str | None:
    """The text of a file that is not UTF-8, if it reads like cp1252.

    Accented letters must stand as in western languages: mostly singly, in small letters' case, with no signs
    inside words. Cyrillic, Greek, Chinese, Mac OS and DOS texts are none of it, and refused.

    >>> as_western("café".encode("cp1252"))
    'café'
    >>> as_western("добрый день".encode("cp1251")) is None
    True
    """
    try:
        text = content.decode(WESTERN)
    except UnicodeDecodeError:  # five bytes mean nothing in it
        return None
    strange, beyond = strangeness(text)
    return text if strange <= STRANGE_SHARE * beyond else None


def strangeness(text: str) -> tuple[int, int]:
    """Count the characters beyond ASCII that stand where no western text has them, and all of them."""
    strange = sum(len(found.group()) for found in _STRANGE.finditer(text))
    return strange, sum(not character.isascii() for character in text)


def _declared(content: bytes, place: str, encoding: str | None, error: UnicodeDecodeError | None) -> str:
    if encoding is not None:
        try:
            return content.decode(encoding)
        except (LookupError, UnicodeEncodeError):
            raise RecipeError(
                "data.encoding", f"{encoding!r} is no text encoding", "use a name such as latin-1 or cp1252"
            ) from None
        except UnicodeDecodeError as other:
            error = other
        except ValueError:  # `undefined`, `idna`: encodings, but of no text file
            raise DataError(place, f"is not {encoding!r}", "name another encoding in data.encoding") from None
    assert error is not None
    line = content.count(b"\n", 0, error.start) + 1
    raise DataError(
        f"{place}:{line}",
        f"byte {error.start} (0x{content[error.start]:02x}) is not {error.encoding}",
        "save the file as UTF-8, or name its encoding in data.encoding (latin-1 takes any byte)",
    ) from None


def encodable(text: str) -> bool:
    """Return whether a text can be written down: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
