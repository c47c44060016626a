"""NATS as it is in operation: several nodes, with locks on its doors, set up by others, or silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted
from nats.js.client import JetStreamContext
from structlog.testing import capture_logs

from kit.messaging.access import Access
from kit.messaging.bus import Bus
from kit.messaging.events import event_type
from kit.messaging.stream import STREAM
from kit.observe.pulse import Pulse
from kit.runtime.background import RESEND_DUE
from kit.runtime.process import build, serve
from kit.runtime.settings import ProcessSettings
from notification_svc.settings import Settings as NotificationSettings
from roster import ROSTER
from runner import health
from runner.health import NotServing, Unhealthy
from tests.support.certificates import Certificates, make_certificates
from tests.support.databases import ServiceDatabase
from tests.support.nats_cluster import NatsCluster, settled
from tests.support.nats_keys import Key, Operator
from tests.support.proxy import proxy_to
from tests.support.service import envelope_of
from tests.support.stores import Nats, Stores, free_port
from tests.support.waiting import eventually

CONSUMER = "notification_svc"
SUBJECTS = [event_type(OrderCompleted).subject_filter]


@asynccontextmanager
async def connected(url: str, **more: Any) -> AsyncIterator[Bus]:
    bus = Bus(name="test", url=url, **more)
    async with asyncio.timeout(30):
        await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(url.split(","))
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def _is_new() -> bool:
    return True


async def passes(bus: Bus, *, deadline_s: float = 40.0) -> None:
    """Return when an event that is sent, again and again if need be, has come."""
    pull = await bus.pull(CONSUMER, SUBJECTS, _is_new)
    wanted: set[str] = set()

    async def take() -> None:
        while True:
            messages = await pull.take(linger_s=0)
            if wanted & {message.headers["ce-id"] for message in messages if message.headers}:
                return

    taking = asyncio.create_task(take())

    async def sent_and_taken() -> bool:
        envelope = envelope_of(OrderCompleted(order_id="ord_1"))
        wanted.add(envelope.id)
        await bus.publish(envelope)
        await asyncio.wait([taking], timeout=0.2)
        return taking.done()

    try:
        await eventually(sent_and_taken, "an event passes", deadline_s=deadline_s)
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def test_a_stream_with_other_limits_gets_ours(nats_url: str) -> None:
    async with administrator(nats_url) as jetstream:
        await jetstream.add_stream(
            name=STREAM, subjects=["florin.*.*.*"], max_age=7.0, duplicate_window=5.0, description="by hand"
        )
        async with connected(nats_url) as bus:
            await passes(bus)
        config = (await jetstream.stream_info(STREAM)).config
    assert config.max_age == 3600.0
    assert config.description == "by hand", "what is not ours to say stays"


async def test_a_change_that_the_broker_refuses_keeps_nobody_from_working(nats_url: str) -> None:
    async with connected(nats_url):
        pass  # There is a stream now, on the only node.
    with capture_logs() as logged:
        async with connected(nats_url, replicas=3) as bus:
            await passes(bus)
    [kept] = [line for line in logged if line["event"] == "bus.stream_kept"]
    assert "num_replicas" in kept["differs_in"]


async def test_a_stream_that_takes_none_of_our_events_is_not_taken_for_ours(nats_url: str) -> None:
    async with administrator(nats_url) as jetstream:
        await jetstream.add_stream(name="others", subjects=["florin.>"])
        bus = Bus(name="test", url=nats_url)
        with capture_logs() as logged:
            opening = asyncio.create_task(bus.open())
            await eventually(
                lambda: any(each["event"] == "bus.stream_missing" for each in logged), "it says so"
            )
        await jetstream.delete_stream("others")
        await asyncio.wait_for(opening, 20)
    await bus.close()


@pytest.fixture
async def cluster(private_stores: Stores) -> NatsCluster:
    cluster = NatsCluster(private_stores)
    await settled(cluster)
    return cluster


async def test_on_three_nodes_the_leader_may_die(cluster: NatsCluster) -> None:
    async with connected(cluster.url, replicas=3) as bus:
        await passes(bus)
        async with administrator(cluster.url) as jetstream:
            stream = await jetstream.stream_info(STREAM)
            consumer = await jetstream.consumer_info(STREAM, CONSUMER)
        for replicated in (stream.cluster, consumer.cluster):
            assert replicated is not None
            assert len(replicated.replicas or []) == 2
        (await cluster.leader()).kill()
        await passes(bus)
        await asyncio.to_thread(cluster.start)


async def test_a_cluster_without_a_leader_is_not_waited_for_until_health_is_lost(
    cluster: NatsCluster,
) -> None:
    """It answers nothing at all, and whoever asks it has better to do."""
    async with connected(cluster.url, replicas=3) as bus:
        await passes(bus)
        leader = await cluster.leader()
        another = next(node for node in cluster.nodes if node is not leader)
        for node in (leader, another):
            node.kill()
        await eventually(lambda: bus.connected, "the last node is found")
        turn = Pulse(within_s=RESEND_DUE.every_s + RESEND_DUE.within_s)
        with turn.at_work():
            assert not await bus.takes_events()
            await bus.backlog(CONSUMER)
            assert not turn.problem()
        await asyncio.to_thread(cluster.start)


async def test_a_stream_on_one_node_is_spread_over_three_with_its_consumers(cluster: NatsCluster) -> None:
    async with connected(cluster.url) as bus:
        await passes(bus)
    async with connected(cluster.url, replicas=3), administrator(cluster.url) as jetstream:

        async def spread() -> bool:
            stream = await jetstream.stream_info(STREAM)
            consumer = await jetstream.consumer_info(STREAM, CONSUMER)
            return all(len(each.cluster.replicas or []) == 2 for each in (stream, consumer) if each.cluster)

        await eventually(spread, "both are on three nodes")


async def test_the_cluster_is_healthy_while_one_node_is_away(cluster: NatsCluster) -> None:
    check = health.NatsCheck(cluster.url)
    await check()
    cluster.nodes[0].kill()
    await eventually(lambda: is_good(check), "the others answer")
    cluster.nodes[1].kill()
    await eventually(lambda: is_bad(check), "one of three decides nothing")
    await check.close()


async def is_good(check: health.Check) -> bool:
    try:
        await check()
    except Unhealthy:
        return False
    return True


async def is_bad(check: health.Check) -> bool:
    return not await is_good(check)


async def says_yes(url: str, access: Access) -> bool:
    check = health.NatsCheck(url, access)
    try:
        return await is_good(check)
    finally:
        await check.close()


async def test_without_jetstream_it_is_not_healthy(private_stores: Stores) -> None:
    server = private_stores.private(configured(lambda node: f'listen: "127.0.0.1:{node.port}"'))
    check = health.NatsCheck(server.url)
    with pytest.raises(Unhealthy, match="JetStream"):
        await check()
    await check.close()


def configured(text: Callable[[Nats], str]) -> type[Nats]:
    """Return a NATS with a configuration of the test's."""

    class Configured(Nats):
        def prepare(self) -> None:
            super().prepare()
            self.configure(text(self))

    return Configured


def guarded(rules: str) -> type[Nats]:
    return configured(lambda node: with_rules(node, rules))


def with_rules(node: Nats, rules: str) -> str:
    return f'listen: "127.0.0.1:{node.port}"\njetstream {{ store_dir: "{node.data_dir}" }}\n{rules}\n'


async def is_let_in(url: str, access: Access) -> None:
    async with connected(url, access=access) as bus:
        await passes(bus)
    assert await says_yes(url, access)


async def is_kept_out(url: str, access: Access) -> None:
    bus = Bus(name="stranger", url=url, access=access)
    with capture_logs() as logged:
        opening = asyncio.create_task(bus.open())
        await eventually(lambda: any(line["event"] == "bus.error" for line in logged), "it says why")
    assert not bus.connected
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await bus.close()
    assert not await says_yes(url, access)


@pytest.mark.parametrize(
    ("rules", "login"),
    [
        ("authorization { user: florin, password: secret }", "florin:secret"),
        ("authorization { token: open-sesame }", "open-sesame"),
    ],
)
async def test_who_has_the_password_is_let_in(private_stores: Stores, rules: str, login: str) -> None:
    server = private_stores.private(guarded(rules))
    await is_let_in(server.url.replace("//", f"//{login}@"), Access())
    await is_kept_out(server.url, Access())


async def test_who_has_the_key_is_let_in(private_stores: Stores, tmp_path: Path) -> None:
    ours, others = Key.new("user"), Key.new("user")
    (tmp_path / "ours.nk").write_bytes(ours.seed)
    (tmp_path / "others.nk").write_bytes(others.seed)
    server = private_stores.private(guarded(f"authorization {{ users: [ {{ nkey: {ours.public} }} ] }}"))
    await is_let_in(server.url, Access(nkey_file=tmp_path / "ours.nk"))
    await is_kept_out(server.url, Access(nkey_file=tmp_path / "others.nk"))
    await is_kept_out(server.url, Access())


async def test_who_has_the_credentials_is_let_in(private_stores: Stores, tmp_path: Path) -> None:
    operator = Operator()
    (tmp_path / "ours.creds").write_text(operator.credentials())
    (tmp_path / "others.creds").write_text(Operator().credentials())
    server = private_stores.private(guarded(operator.rules()))
    await is_let_in(server.url, Access(credentials_file=tmp_path / "ours.creds"))
    await is_kept_out(server.url, Access(credentials_file=tmp_path / "others.creds"))
    await is_kept_out(server.url, Access())


async def test_credentials_are_read_again_when_those_before_were_revoked(
    private_stores: Stores, tmp_path: Path
) -> None:
    operator, file = Operator(), tmp_path / "florin.creds"
    server = private_stores.private(configured(lambda node: with_rules(node, operator.rules())))
    file.write_text(operator.credentials(age_s=3600))
    async with connected(server.url, access=Access(credentials_file=file)) as bus:
        await passes(bus)
        server.kill()
        operator.revoke()
        server.start()
        await eventually(lambda: "does not let it in" in bus.pulse.problem(), "it says why it cannot work")
        file.write_text(operator.credentials())
        await eventually(lambda: not bus.pulse.problem(), "it is let in again")
        await passes(bus)


LET_IN = "authorization { users: [ { user: florin, password: secret } ] }"
SHUT_OUT = "authorization { users: [ { user: somebody, password: secret } ] }"


async def test_who_is_thrown_out_for_good_comes_back_with_all_that_it_listened_to(
    private_stores: Stores,
) -> None:
    server = private_stores.private(guarded(LET_IN))
    confirmed: list[str] = []
    async with connected(server.url.replace("//", "//florin:secret@")) as bus:
        await bus.on_confirm(lambda _, event_ids: confirmed.extend(event_ids))
        pull = await bus.pull(CONSUMER, SUBJECTS, _is_new)
        taking = asyncio.create_task(pull.take(linger_s=0))
        server.configure(with_rules(server, SHUT_OUT))
        # The server says why, but its word may get lost with the connection. The client makes a difference.
        await bus._client._process_err("'authorization violation'")
        await eventually(lambda: not bus.connected, "it is out")
        server.configure(with_rules(server, LET_IN))
        await eventually(lambda: bus.connected, "it is in again")

        async def sent_and_taken() -> bool:
            await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
            await asyncio.wait([taking], timeout=0.2)
            return taking.done()

        await eventually(sent_and_taken, "the same pull goes on")
        await bus.confirm(CONSUMER, bus.confirm_subject, ["evt_1"])
        await eventually(lambda: confirmed == ["evt_1"], "confirmations come")


async def test_who_is_let_in_late_says_so_no_more(private_stores: Stores) -> None:
    server = private_stores.private(guarded(SHUT_OUT))
    bus = Bus(name="early", url=server.url.replace("//", "//florin:secret@"))
    opening = asyncio.create_task(bus.open())
    await eventually(lambda: "does not let it in" in bus.pulse.problem(), "it says why it cannot begin")
    server.configure(with_rules(server, LET_IN))
    await asyncio.wait_for(opening, 30)
    assert not bus.pulse.problem()
    await bus.close()


async def test_a_process_that_is_thrown_out_says_so_until_it_is_let_in_again(
    private_stores: Stores, service_database: Callable[[str], ServiceDatabase]
) -> None:
    server = private_stores.private(guarded(LET_IN))
    url = server.url.replace("//", "//florin:secret@")
    settings = NotificationSettings(database_url=service_database(CONSUMER).url, nats_url=url)
    until, (port, health_port) = asyncio.Event(), sorted((free_port(), free_port()))
    own = ProcessSettings(health_port_step=health_port - port, drain_pause_s=0)
    context = build(ROSTER, ROSTER[CONSUMER], settings)
    process = asyncio.create_task(serve(own, port, [context], until=until))
    check = health.service("127.0.0.1", health_port)
    try:
        await eventually(lambda: is_good(check), "it serves")
        server.configure(with_rules(server, SHUT_OUT))
        await eventually(lambda: is_bad(check), "it does not serve")
        with pytest.raises(NotServing, match=r"notification_svc: bus .* NATS, which does not let it in"):
            await check()
        server.configure(with_rules(server, LET_IN))
        await eventually(lambda: is_good(check), "it serves again")
    finally:
        until.set()
        await process


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


async def test_a_broker_of_our_own_authority_is_trusted_and_trusts_us(
    private_stores: Stores, certificates: Certificates
) -> None:
    made = certificates
    server = private_stores.private(
        guarded(
            f'tls {{ cert_file: "{made.server}", key_file: "{made.server_key}",'
            f' ca_file: "{made.ca}", verify: true }}'
        )
    )
    ours = Access(ca_file=made.ca, certificate_file=made.client, key_file=made.client_key)
    await is_let_in(server.url, ours)
    await is_kept_out(server.url, Access(ca_file=made.ca))
    await is_kept_out(server.url, Access())


async def test_a_broker_that_says_nothing_any_more_is_left_for_one_that_does(own_nats: Nats) -> None:
    async with proxy_to(own_nats.url) as network, connected(network.url(own_nats.url)) as bus:
        await passes(bus)
        network.lose()
        # More than all buffers on the way take, so that a part of it waits in this process.
        flood = OrderCompleted(order_id="o" * 500_000)
        for _ in range(40):
            async with asyncio.timeout(10):
                await bus.publish(envelope_of(flood))
        await eventually(lambda: network.accepted == 2, "it connects anew")
        await passes(bus)
