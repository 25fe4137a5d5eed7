"""Pictures from the web, within limits of size and time."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException

from data.errors import ImageError
from data.media.limits import DOWNLOAD_BYTES, DOWNLOAD_S

_SILENCE_S = 30.0  # a server that sends nothing for so long is given up
_CHUNK = 1 << 16


def download(address: str, label: str, *, most_bytes: int = DOWNLOAD_BYTES, most_s: float = DOWNLOAD_S) -> bytes:
    """What an `http` or `https` address gives.

    Args:
        label: the address as messages may show it.

    Raises:
        ImageError: it cannot be had, is larger than `most_bytes`, or takes longer than `most_s` seconds.
    """
    deadline = time.monotonic() + most_s
    content = bytearray()
    try:
        with urllib.request.urlopen(address, timeout=min(_SILENCE_S, most_s)) as response:
            # `read1` gives what has come so far: a server that sends a byte now and then is noticed too.
            while chunk := response.read1(_CHUNK):
                content += chunk
                if len(content) > most_bytes:
                    raise ImageError(f"{label}: larger than the limit of {most_bytes / 2**20:g} MiB for a picture")
                if time.monotonic() > deadline:
                    raise ImageError(f"{label}: not there after {most_s:g} seconds; download it yourself")
    except ImageError:
        raise
    except (OSError, ValueError, HTTPException, urllib.error.URLError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{label}: cannot be downloaded ({reason}); check the address") from None
    return bytes(content)
