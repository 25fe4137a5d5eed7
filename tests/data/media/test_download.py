"""Downloads: whole, or one line within the limits of size and time."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from data.errors import ImageError
from data.media.download import download


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/picture":
            self.wfile.write(b"x" * 5000)
        for _ in range(200 if self.path == "/endless" else 0):
            self.wfile.write(b"x" * 5000)
        for _ in range(100 if self.path == "/slow" else 0):  # a byte now and then
            try:
                self.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.05)


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def refused(call: Callable[[], bytes]) -> str:
    with pytest.raises(ImageError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_one(address: str) -> None:
    assert download(f"{address}/picture", "it") == b"x" * 5000
    assert len(download(f"{address}/picture", "it", most_bytes=5000)) == 5000


def test_one_that_is_too_large(address: str) -> None:
    message = refused(lambda: download(f"{address}/endless", "http://host/endless", most_bytes=100_000))
    assert message.startswith("http://host/endless: larger than the limit of 0.0953674 MiB")


def test_one_that_takes_too_long(address: str) -> None:
    start = time.monotonic()
    assert "not there after 0.3 seconds" in refused(lambda: download(f"{address}/slow", "it", most_s=0.3))
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.jpg", "http://[broken/a.jpg", "http://127.0.0.1:9/a b.jpg"])
def test_what_cannot_be_had(url: str) -> None:
    assert "cannot be downloaded" in refused(lambda: download(url, "it"))
