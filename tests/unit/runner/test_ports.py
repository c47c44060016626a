"""A port that somebody else uses is named by number, user and the setting that moves ours."""

from __future__ import annotations

import os
import socket

from runner import ports
from runner.settings import Settings
from tests.support.ports import port_block


def test_a_taken_port_is_told_with_its_holder_and_its_setting() -> None:
    with port_block() as block, socket.create_server(("127.0.0.1", block[0])):
        settings = Settings(redis_port=block[0])
        taken = ports.taken(ports.wanted(settings, only=["redis"]), host="127.0.0.1")
    assert [each.port for each in taken] == [block[0]]
    assert taken[0].variable == "FLORIN_REDIS_PORT"
    assert taken[0].holder_pid == os.getpid()
    assert taken[0].listens


def test_the_near_end_of_a_connection_is_told_from_a_listener() -> None:
    with port_block() as block, socket.create_server(("127.0.0.1", block[1])) as server:
        with socket.create_connection(server.getsockname(), source_address=("127.0.0.1", block[0])):
            wanted = ports.wanted(Settings(redis_port=block[0]), only=["redis"])
            taken = ports.taken(wanted, host="127.0.0.1")
        assert [each.port for each in taken] == [block[0]]
        assert not taken[0].listens
        assert "outgoing connection" in str(taken[0])


def test_ports_of_external_stores_are_not_wanted() -> None:
    settings = Settings(redis_url="redis://cache.example:6379")
    assert settings.redis_port not in ports.wanted(settings)


def test_two_blocks_never_overlap() -> None:
    with port_block() as one, port_block() as other:
        assert not set(one) & set(other)
