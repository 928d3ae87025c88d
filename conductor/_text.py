"""
Text that comes from outside, made fit to show: escaped, without passwords, with the nearest known name.

Metadata, settings and the errors of components are written by strangers.  Whatever Conductor prints, logs
or stores passes through here first.
"""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable

MASK = "*******"

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Up to an "@" before the path; else any up to the first "@", for passwords with "/", "?" or "#" that nobody quoted.
_URL_PASSWORD = re.compile(
    r"(?P<head>://[^\s/?#:]*):(?P<password>[^\s/?#]*@|(?!\d{1,5}(?:[/?#]|$))[^\s@'\"<>]{0,500}@)",
)
_NAMED_PASSWORD = re.compile(
    r"(?P<head>(?:password|passwd|passphrase|pwd|secret|token|api[-_]?key)(?:\s*=\s*|['\"]\s*[:=]\s*))"
    r"(?P<password>'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[-_.]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_NAME = re.compile(r"(?:^|[-_.])(?:password|passwd|passphrase|pwd|secret|token|api[-_]?key)$", re.IGNORECASE)


def printable(text: str) -> str:
    """
    The text with everything that is not printable escaped, so that it cannot steer a terminal or a reader.

    C0 and C1 controls, bidirectional and other format characters, lone surrogates, line and paragraph separators
    and what Unicode has not assigned become ``\\xNN`` or ``\\uNNNN``; line feeds stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNPRINTABLE else _escape(char) for char in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """
    The text without passwords: those in URLs and in pairs such as ``password=…``, and every one of ``secrets``.

    Args:
        text: what a component, a library or a file said.
        secrets: values that must not come out wherever they stand.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(rf"\g<head>:{MASK}@", text)
    return _NAMED_PASSWORD.sub(rf"\g<head>{MASK}", text)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """
    The known name that is most like the given one, or None if none is near.
    """
    by_lower = {candidate.lower(): candidate for candidate in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    same_letters = (known for known in sorted(by_lower) if sorted(known) == sorted(name.lower()))
    near = found[0] if found else next(same_letters, None)  # of short names, a swap leaves too little in place
    return by_lower[near] if near is not None else None


def enumerate_names(names: Iterable[str]) -> str:
    """
    The names quoted and joined as in a sentence: ``'a', 'b' and 'c'``.
    """
    quoted = [f"'{name}'" for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return ", ".join(quoted[:-1]) + " and " + quoted[-1]


def normalise(name: str) -> str:
    """
    The name in the form in which equal names are equal: lower case, each run of ``-``, ``_`` and ``.`` one ``-``.
    """
    return _SEPARATORS.sub("-", name).lower()


def dotted(names: Iterable[str]) -> str:
    """
    The names as a TOML key, with quotes around those that need them: ``components."a.b".url``.
    """
    return ".".join(name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False) for name in names)


def is_secret_name(name: str) -> bool:
    """
    Whether a value of this name is better not shown, whatever its type: ``password``, ``auth-token`` …
    """
    return _SECRET_NAME.search(name) is not None


def shorten(text: str, longest: int = 80) -> str:
    """
    The text, cut after so many characters.
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
