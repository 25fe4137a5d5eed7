"""Downloads: whole, or one line that says what the server did, within the limits of size and time."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.errors import ImageError
from data.media.download import download, refusal
from data.media.sources import open_source
from tests.data.media.servers import Server, response, serve, slowly

BODY = bytes(range(256)) * 20
PICTURE = cv2.imencode(".png", np.full((24, 32, 3), 100, np.uint8))[1].tobytes()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def _redirect(target: str) -> bytes:
    return response(b"", f"Location: {target}", status="302 Found")


def _needs_login(head: bytes) -> Iterator[bytes]:
    # base64 of "me:p@ss word"
    known = b"Authorization: Basic bWU6cEBzcyB3b3Jk" in head
    yield response(BODY) if known else response(b"", status="401 Unauthorized")


ANSWERS = {
    "/picture": response(BODY),
    "/until-it-hangs-up": HEAD + b"\r\n" + BODY,
    "/chunked": CHUNKED + b"400\r\n" + BODY[:1024] + b"\r\n1000\r\n" + BODY[1024:] + b"\r\n0\r\n\r\n",
    "/gzip": response(gzip.compress(BODY), "Content-Encoding: gzip"),
    "/moved": _redirect("/picture"),
    "/login": _needs_login,
    "/a%20b%5B1%5D.png": response(BODY),
    "/photo%231.png": response(BODY),
    "/circle": _redirect("/circle"),
    "/to-a-file": _redirect("file:///etc/passwd"),
    "/to-nowhere": _redirect("http://me:secret@[::1/x"),
    "/short": response(BODY, length=6000),
    "/chunked-short": CHUNKED + b"1400\r\n" + BODY[:1000],
    "/chunked-garbage": CHUNKED + b"zz\r\n" + BODY,
    "/gzip-garbage": response(b"\x1f\x8b" + BODY, "Content-Encoding: gzip"),
    "/bomb": response(gzip.compress(bytes(2**24)), "Content-Encoding: gzip"),
    "/garbage": b"\x1b[31mnot HTTP at all\r\n\r\n",
    "/hangs-up": b"",
    "/empty": response(b""),
    "/page": response(b"\n<html>log in first</html>", "Content-Type: text/html; charset=utf-8"),
    "/forbidden": response(b"", status="403 \x1b[31mGo away"),
    "/broken": response(b"", status="500 Internal Server Error"),
    "/busy": response(b"", status="429 Too Many Requests"),
    "/proxy": response(b"", status="407 Proxy Authentication Required"),
    "/to-a-port": _redirect("http://127.0.0.1:99999/x"),
    "/to-bytes": _redirect("/a?.png").replace(b"a?", b"a\xff"),
    "/odd": response(b"", status="799 Odd"),
    "/headers": HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(300)) + b"\r\n" + BODY,
    "/odd-header": b"HTTP/1.1 200 OK\r\nContent-Length: 5120\r\n no: name\r\nno colon\r\n\r\n" + BODY,
    "/endless": lambda _: itertools.chain([HEAD + b"\r\n"], itertools.repeat(BODY)),
    "/drip": lambda _: slowly(itertools.chain([HEAD + b"\r\n"], itertools.repeat(b"x"))),
    "/drip-head": lambda _: slowly(itertools.chain([HEAD], itertools.repeat(b"X"))),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(ANSWERS) as running:
        yield running


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ImageError) as error:
        call()
    assert str(error.value).isprintable(), "one line"
    assert "secret" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "path", ["/picture", "/until-it-hangs-up", "/chunked", "/gzip", "/moved", "/a b[1].png", "/photo#1.png"]
)
def test_whole_ones(server: Server, path: str) -> None:
    assert download(server.address(path), "it") == BODY
    assert len(download(server.address(path), "it", most_bytes=5120)) == 5120


def test_name_and_password_are_sent_and_not_shown(server: Server) -> None:
    for login in ("me:p@ss word@", "me:p%40ss%20word@"):
        assert download(server.address("/login", login), "it") == BODY
    (frame,) = open_source(server.address("/login.png", "me:secret@"))
    assert frame.path == server.address("/login.png")
    assert str(frame.error).startswith(f"{frame.path}: cannot be downloaded (404 Not Found); check the address")
    assert "secret" not in str(frame.error)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "404 Not Found); check the address"),
        ("/login", "401 Unauthorized); check user name and password"),
        ("/forbidden", "403 Forbidden); check user name and password"),
        ("/broken", "500 Internal Server Error); try again later"),
        ("/odd", "799); try again later"),
        ("/circle", "it leads on more than 10 times); check the address"),
        ("/to-a-file", "it leads to what is no web address: file:///etc/passwd); "),
        ("/to-nowhere", "the address, or that of a redirect or a proxy, cannot be read); check the address"),
        ("/to-a-port", "the address, or that of a redirect or a proxy, cannot be read); check the address"),
        ("/to-bytes", "the address, or that of a redirect or a proxy, cannot be read); check the address"),
        ("/busy", "429 Too Many Requests); try again later"),
        ("/proxy", "407 Proxy Authentication Required); check HTTP_PROXY and HTTPS_PROXY"),
        ("/short", "it breaks off before its end); try again"),
        ("/chunked-short", "it breaks off before its end); try again"),
        ("/chunked-garbage", "cannot be downloaded ("),
        ("/gzip-garbage", "its packing is damaged); try again"),
        ("/garbage", "the server's answer is no HTTP); "),
        ("/hangs-up", "cannot be downloaded ("),
        ("/empty", "the server sent 0 bytes); check the address"),
        ("/page", "it is a page, not a picture); give the address of the picture itself"),
        ("/headers", "the server's answer is no HTTP); "),
    ],
)
def test_what_servers_do(server: Server, path: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = refused(lambda: download(server.address(path), "http://host/a.png"))
    assert text.startswith("http://host/a.png: cannot be downloaded (")
    assert message in text
    assert "".join(capfd.readouterr()) == ""


def test_the_packages_say_nothing_of_their_own(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert download(server.address("/odd-header"), "it")
    assert caplog.records == []


def test_one_that_is_too_large(server: Server) -> None:
    message = refused(lambda: download(server.address("/endless"), "http://host/endless", most_bytes=100_000))
    assert message.startswith("http://host/endless: larger than the limit of 0.0953674 MiB")
    assert "larger than" in refused(lambda: download(server.address("/bomb"), "it", most_bytes=100_000))


@pytest.mark.parametrize("path", ["/drip", "/drip-head"])
def test_one_that_takes_too_long(server: Server, path: str) -> None:
    start = time.monotonic()
    assert "not there after 0.3 seconds" in refused(lambda: download(server.address(path), "it", most_s=0.3))
    assert time.monotonic() - start < 3


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.media.download._SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.jpg"
        assert "(no answer for 0.2 seconds); try again later" in refused(lambda: download(address, "it"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/a.jpg", "Connection refused"),
        ("http://127.0.0.1:9/a b.jpg", "Connection refused"),
        ("http://a..b/a.jpg", ""),
        (f"http://{'a' * 300}/a.jpg", ""),
    ],
)
def test_what_cannot_be_had(url: str, why: str) -> None:
    message = refused(lambda: download(url, "it"))
    assert "cannot be downloaded (" in message
    assert why in message


def test_proxies_are_those_of_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(head: bytes) -> Iterator[bytes]:
        yield response(BODY)

    with serve({"http://host.invalid/a.png": answer}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address(""))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert download("http://host.invalid/a.png", "it") == BODY
        assert download(server.address("/picture"), "it") == BODY
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert "the proxy does not answer" in refused(lambda: download("http://host.invalid/a.png", "it"))
    monkeypatch.setenv("http_proxy", "http://[::1")
    assert "or a proxy, cannot be read" in refused(lambda: download("http://host.invalid/a.png", "it"))
    if importlib.util.find_spec("socks") is None:
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
        assert "needs the package PySocks" in refused(lambda: download("http://host.invalid/a.png", "it"))


@pytest.mark.parametrize("host", ["a b", "...", "a..b", "*.x", "a" * 300, "\uff12.1"])
def test_hosts_that_cannot_be(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    message = refused(lambda: download(f"http://{host}/a.png", "it"))
    assert (
        message
        == "it: cannot be downloaded (the address, or that of a redirect or a proxy, cannot be read); check the address"
    )


def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no openssl that makes certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True):
                pass
        except OSError:
            pass  # the other side breaks off

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/a.png"
        message = refused(lambda: download(address, "it"))
    assert "no secure connection: " in message
    assert "certificate" in message.lower()


def test_a_video_that_the_server_refuses_names_the_reason(server: Server) -> None:
    (frame,) = open_source(server.address("/missing.mp4", "me:secret@"))
    what = f"{server.address('/missing.mp4')}: cannot be opened as a video"
    assert frame.error == f"{what} (404 Not Found; check the address)"
    assert refusal(server.address("/picture")) == ""
    assert refusal("rtsp://127.0.0.1:9/live") == ""
    (frame,) = open_source(server.address("/login", "me:secret@"))
    assert frame.error == (
        f"{server.address('/login')}: the stream cannot be opened (401 Unauthorized; check user name and password: "
        "https://USER:PASSWORD@HOST/...)"
    )
    (frame,) = open_source(server.address("/picture?.mp4").replace("?", "%3F"))
    assert "404" in str(frame.error)
