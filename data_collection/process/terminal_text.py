"""Text of others on a terminal: what would steer it is shown instead of obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with everything but visible characters, blanks and line ends escaped: `\x1b[31m`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
