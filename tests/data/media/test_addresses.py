"""Addresses: passwords that no message shows, what servers take, and what is no address."""

from __future__ import annotations

import pytest

from data.errors import DataError
from data.media.addresses import usable, without_password
from data.media.sources import open_source


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://me:secret@camera:554/live", "rtsp://camera:554/live"),
        ("rtsp://me@camera/live", "rtsp://camera/live"),
        ("http://me:sec@ret@camera/a.jpg", "http://camera/a.jpg"),
        ("http://me:sec/ret@camera/a.jpg", "http://camera/a.jpg"),
        ("http://me:sec#ret?@camera/a.jpg", "http://camera/a.jpg"),
        ("ftp://me:secret@host/a.jpg", "ftp://host/a.jpg"),
        ("http://camera/@home", "http://camera/@home"),
        ("http://[::1]:80/@home", "http://[::1]:80/@home"),
        ("http://camera/x?user=me&pwd=secret&n=1", "http://camera/x?user=me&pwd=***&n=1"),
        ("http://camera/x?access_token=secret#a", "http://camera/x?access_token=***#a"),
        ("me:secret@camera/a.jpg", "***@camera/a.jpg"),
        ("pictures/a@2.jpg", "pictures/a@2.jpg"),
        ("camera 1: view@noon.jpg", "camera 1: view@noon.jpg"),
    ],
)
def test_passwords_are_left_out(address: str, expected: str) -> None:
    assert without_password(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://h/a.jpg", "http://h/a.jpg"),
        ("http://u:p@h:80/a b[1].jpg?x= y", "http://u:p@h:80/a%20b[1].jpg?x=%20y"),
        ("http://h/a%20b 100%.jpg", "http://h/a%20b%20100%25.jpg"),
        ("http://h/photo#1.jpg", "http://h/photo%231.jpg"),
        ("http://h/a.mp4#part", "http://h/a.mp4#part"),
        ("http://h/h/é\udcff.jpg", "http://h/h/%C3%A9%FF.jpg"),
        ("http://münchen.de/a.jpg", "http://münchen.de/a.jpg"),
        ("rtsp://h/a b", "rtsp://h/a b"),
    ],
)
def test_what_servers_take(address: str, expected: str) -> None:
    assert usable(address) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://[::1/a.jpg", "the host or port of the address cannot be read"),
        ("http://me:sec/ret@[::1/a.jpg", "the host or port of the address cannot be read"),
        ("http://host:port/a.jpg", "the host or port of the address cannot be read"),
        ("http://host:99999/a.jpg", "the host or port of the address cannot be read"),
        ("http:///a.jpg", "the address names no host"),
        ("rtsp://", "the address names no host"),
        ("ftp://me:secret@host/a.jpg", "known are http://"),
        ("htp://host/a.jpg", "known are http://"),
        ("file:///data/a.jpg", "leave out file://"),
        ("http:/host/a.jpg", "two slashes, http://"),
        ("me:secret@host/a.jpg", "no such file or folder"),
    ],
)
def test_what_is_no_address_is_one_line(source: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sec" not in str(caught.value)
