"""Servers on the loopback address that answer with exactly the bytes that a test gives."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Answer = bytes | Callable[[bytes], Iterator[bytes]]
"""What a path answers: bytes, or pieces of them made of the request's head."""


@dataclass
class Server:
    """A server and the heads of the requests that it got."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    def address(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{path}"


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An answer with its length, or with a wrong one."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def slowly(pieces: Iterator[bytes], pause_s: float = 0.02) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        time.sleep(pause_s)


@contextlib.contextmanager
def serve(answers: Mapping[str, Answer]) -> Iterator[Server]:
    """Answers each path of `answers`; what it does not know is 404."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                head += more
            server.requests.append(head)
            path = head.split(b" ")[1].decode() if head.count(b" ") > 1 else ""
            given = answers.get(path, response(b"", status="404 Not Found"))
            for piece in (given,) if isinstance(given, bytes) else given(head):
                connection.sendall(piece)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
