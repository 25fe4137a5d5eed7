"""Pictures from the web, within limits of size and time, by the package requests.

What HTTP knows is requests' affair: names and passwords in addresses, proxies, certificates, redirects, chunks, gzip.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any

from data.errors import ImageError
from data.media.addresses import usable, without_password
from data.media.limits import DOWNLOAD_BYTES, DOWNLOAD_S
from files.paths import shown

if TYPE_CHECKING:
    import requests

_SILENCE_S = 30.0  # a server that sends nothing for so long is given up
_CHUNK = 1 << 16
_REDIRECTS = 10
_PROXY_REMEDY = "check HTTP_PROXY and HTTPS_PROXY"
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_LOGIN_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def download(address: str, label: str, *, most_bytes: int = DOWNLOAD_BYTES, most_s: float = DOWNLOAD_S) -> bytes:
    """What an `http` or `https` address gives.

    Args:
        label: the address as messages may show it.

    Raises:
        ImageError: it cannot be had, is larger than `most_bytes`, or takes longer than `most_s` seconds.
    """

    def read(response: requests.Response) -> bytes:
        content = bytearray()
        # `read1` gives what has come so far: a server that sends a byte now and then is noticed too.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > most_bytes:
                raise ImageError(f"{label}: larger than the limit of {most_bytes / 2**20:g} MiB for a picture")
        if response.headers.get("Content-Type", "").startswith("text/html") and content.lstrip().startswith(b"<"):
            raise _RefusedError("it is a page, not a picture", "give the address of the picture itself")
        if not content:
            raise _RefusedError("the server sent 0 bytes", "check the address")
        return bytes(content)

    try:
        return _within(most_s, label, lambda: _ask(address, read))
    except _RefusedError as error:
        raise ImageError(f"{label}: cannot be downloaded ({error.why}); {error.remedy}") from None


def refusal(address: str, *, most_s: float = DOWNLOAD_S) -> str:
    """Why a web address gives nothing, and what to do: `404 Not Found; check the address`; "" where a server answers.

    Addresses that are not of the web are not asked.
    """
    if not address.lower().startswith("http"):
        return ""
    try:
        _within(most_s, address, lambda: _ask(address, lambda _: b""))
    except _RefusedError as error:
        return f"{error.why}; {error.remedy}"
    return ""


class _RefusedError(Exception):
    """Why there is nothing, and what to do about it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why, self.remedy = why, remedy


def _within(most_s: float, label: str, work: Callable[[], bytes]) -> bytes:
    """The result of `work`, done in a thread that is left behind after `most_s` seconds.

    The time-outs of requests begin anew with every byte, and a name server has none.
    """
    results: list[bytes] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, name=f"download {label}", daemon=True)
    thread.start()
    thread.join(most_s)
    if errors:
        raise errors[0]
    if not results:
        raise _RefusedError(f"not there after {most_s:g} seconds", "download it yourself")
    return results[0]


def _ask(address: str, read: Callable[[requests.Response], bytes]) -> bytes:
    """Opens an address and reads it.

    Raises:
        _RefusedError: it cannot be had.
        ImageError: what `read` raises.
    """
    requests = _requests()
    from urllib3.exceptions import HTTPError

    try:
        with requests.Session() as session:
            session.max_redirects = _REDIRECTS
            session.headers["Accept-Encoding"] = "identity"  # pictures are packed already
            with session.get(usable(address), stream=True, timeout=_SILENCE_S) as response:
                _require_success(response)
                return read(response)
    except (ImageError, _RefusedError):
        raise
    except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
        raise _RefusedError(*_explained(error)) from None


def _require_success(response: requests.Response) -> None:
    code = response.status_code
    if 200 <= code < 300:
        return
    try:
        text = f"{code} {HTTPStatus(code).phrase}"  # the server's own words may be anything
    except ValueError:
        text = str(code)
    if code in _LOGIN_REFUSED:
        raise _RefusedError(text, "check user name and password: https://USER:PASSWORD@HOST/...")
    if code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise _RefusedError(text, _PROXY_REMEDY)
    raise _RefusedError(text, "try again later" if code >= 500 or code in _LATER else "check the address")


def _explained(error: BaseException) -> tuple[str, str]:
    """Why a request failed, and what to do about it."""
    import requests
    from urllib3.exceptions import DecodeError, SSLError

    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        return "a SOCKS proxy needs the package PySocks", f"install it, or {_PROXY_REMEDY}"
    kinds: tuple[tuple[Any, str, str], ...] = (
        (requests.exceptions.ProxyError, "the proxy does not answer as one", _PROXY_REMEDY),
        ((requests.exceptions.SSLError, SSLError), f"no secure connection: {_innermost(causes)}", "check the address"),
        (requests.exceptions.TooManyRedirects, f"it leads on more than {_REDIRECTS} times", "check the address"),
        (requests.exceptions.InvalidSchema, f"it leads to what is no web address: {_target(error)}", "correct it"),
        (requests.exceptions.Timeout, f"no answer for {_SILENCE_S:g} seconds", "try again later"),
        (IncompleteRead, "it breaks off before its end", "try again"),
        ((requests.exceptions.ContentDecodingError, DecodeError), "its packing is damaged", "try again"),
    )
    for kind, why, remedy in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return why, remedy
    return _innermost(causes), "check the address"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, each once."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [getattr(each, "reason", None), *each.args, each.__cause__, each.__context__]


def _innermost(causes: list[BaseException]) -> str:
    """What the system says; else the last words of the package, which may repeat what the server sent."""
    system = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if system:
        return shown(system[-1])
    if any(isinstance(cause, HTTPException) for cause in causes):
        return "the server's answer is no HTTP"
    if any(isinstance(cause, ValueError) for cause in causes):
        return "the address, or that of a redirect or a proxy, cannot be read"
    return type(causes[-1]).__name__


def _target(error: BaseException) -> str:
    """The address in "No connection adapters were found for 'file:///x'"."""
    quoted = re.search(r"'(.*)'", str(error))
    return shown(without_password(quoted[1])) if quoted else "unknown"


def _requests() -> Any:
    """The package, which is needed for web addresses alone, without words of its own on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import requests
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    return requests
