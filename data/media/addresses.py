"""Addresses of pictures, videos and streams: which there are, whether one can be used, and how messages show it."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from data.errors import DataError
from files.paths import shown

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp")
URL = re.compile(rf"^({'|'.join(SCHEMES)})://", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_ONE_SLASH = re.compile(rf"^({'|'.join(SCHEMES)}):/?[^/]", re.IGNORECASE)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")
_LOGIN = re.compile(r"[^\s/@:]+:[^@]*@")
_SECRET = re.compile(
    r"(?<=[?&;])([\w-]*(?:pass|password|passwd|pwd|token|secret|signature|sig|key|auth)=)[^&;#]*", re.IGNORECASE
)
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what `quote` leaves, besides letters, digits and _.-
_ENDING = re.compile(r"\.\w{2,5}$")
_BARE_PERCENT = re.compile("%(?![0-9a-f]{2})", re.IGNORECASE)


def without_password(address: str) -> str:
    """An address without user name and password, and with `***` for those in its query; other texts as they are."""
    scheme = _ANY_SCHEME.match(address)
    if scheme is None:
        login = _LOGIN.match(address)
        return address if login is None else f"***@{address[login.end() :]}"
    rest = address[scheme.end() :]
    network = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in network:
        rest = rest[network.rindex("@") + 1 :]
    elif "@" in rest and not _HOST.fullmatch(network):  # a password that holds a / or #
        rest = rest[rest.rindex("@") + 1 :]
    return scheme[0] + _SECRET.sub(r"\1***", rest)


def usable(address: str) -> str:
    """The address as servers take it: blanks and other characters that no address holds are written as %XX.

    Raises:
        DataError: its host or port cannot be read.
    """
    label = shown(without_password(address))
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise DataError(
            f"{label}: the host or port of the address cannot be read; in a password write @ : / # as %40 %3A %2F %23, "
            "and an IPv6 host in brackets, [::1]"
        ) from None
    if not host:
        raise DataError(f"{label}: the address names no host; write it as {parts.scheme}://HOST/...")
    if not parts.scheme.lower().startswith("http"):
        return address
    scheme, network, rest = address.partition(parts.netloc)
    if _ENDING.search(parts.fragment):  # `photo#1.jpg`: what is no name but a place in a page has no ending
        rest = rest.replace("#", "%23")
    return scheme + network + quote(_BARE_PERCENT.sub("%25", rest), safe=_SAFE, errors="surrogateescape")


def require_known_scheme(text: str) -> None:
    """Refuse what looks like an address but is none that is read.

    Raises:
        DataError: it says which ones are.
    """
    label = shown(without_password(text))
    if text.lower().startswith("file://"):
        raise DataError(f"{label}: files are given by their path; leave out file://")
    if scheme := _ANY_SCHEME.match(text):
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise DataError(f"{label}: addresses that begin with {scheme[0]} are not read; known are {known}")
    if one := _ONE_SLASH.match(text):
        raise DataError(f"{label}: an address begins with two slashes, {one[1].lower()}://; correct it")
