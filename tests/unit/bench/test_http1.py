"""The lean client reads what an edge may send, however it is cut up."""

from __future__ import annotations

import asyncio

import pytest

from bench.http1 import NO_ANSWER, Client, parse
from tests.support.servers import Talk, serving

_SIZED = b'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"id":1}\n'
_CHUNKED = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"id\r\n4\r\n":2}\r\n0\r\n\r\n'


@pytest.mark.parametrize(
    ("answer", "status", "body"), [(_SIZED, 202, b'{"id":1}\n'), (_CHUNKED, 200, b'{"id":2}')]
)
def test_an_answer_is_known_once_all_of_it_has_come(answer: bytes, status: int, body: bytes) -> None:
    for length in range(len(answer)):
        assert parse(answer[:length]) is None
    assert parse(answer) == (status, body)


def test_an_answer_without_a_body_is_its_status() -> None:
    assert parse(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"")


async def _with_server(talk: Talk, most: int, requests: list[bytes]) -> list[tuple[int, bytes]]:
    """What a client with at most so many connections gets back for its requests."""
    answers: list[tuple[int, bytes]] = []
    all_here = asyncio.Event()

    def take(status: int, body: bytes) -> None:
        answers.append((status, body))
        if len(answers) == len(requests):
            all_here.set()

    async with serving(talk) as port:
        client = Client("127.0.0.1", port, opened=1, most=most)
        await client.open()
        for request in requests:
            client.send(request, take)
        async with asyncio.timeout(10):
            await all_here.wait()
        client.close()
    return answers


async def test_beyond_the_most_connections_requests_wait_and_all_get_their_answer() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(line), line))

    requests = [b"%d\n" % number for number in range(50)]

    answers = await _with_server(echo, 3, requests)

    assert sorted(answers) == sorted((200, request) for request in requests)


async def test_a_request_whose_connection_ends_has_no_answer_and_the_next_one_has() -> None:
    async def hang_up_on_bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"bad\n":
                break
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    assert await _with_server(hang_up_on_bad, 1, [b"bad\n", b"good\n"]) == [(NO_ANSWER, b""), (200, b"")]


async def test_a_request_does_not_wait_for_the_answer_to_another() -> None:
    all_asked = asyncio.Event()
    asked = 0

    async def answer_when_all_have_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readline()
        asked += 1
        if asked == 5:
            all_asked.set()
        await all_asked.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    answers = await _with_server(answer_when_all_have_asked, 5, [b"me too\n"] * 5)

    assert answers == [(200, b"")] * 5
