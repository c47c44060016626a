"""Three NATS servers that are one: nodes are killed and come back, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import nats
import nats.errors
import nats.js.errors
from nats.js.api import ClusterInfo

from kit.messaging.stream import STREAM
from tests.support.stores import Nats, Stores, free_port
from tests.support.waiting import eventually

NODES: Final = 3

_CONFIGURATION: Final = """
server_name: {name}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store_dir}" }}
cluster {{
  name: florin
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
}}
"""


class NatsCluster:
    """Nodes that are up, by index.

    Attributes:
        nodes: its servers; `kill` and `start` each as a test needs it.
    """

    def __init__(self, stores: Stores) -> None:
        self._routes = [free_port() for _ in range(NODES)]
        self.nodes = [stores.idle(self._node(index)) for index in range(NODES)]

    @property
    def url(self) -> str:
        """Addresses of all nodes, as the setting takes them."""
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            node.start()

    async def ready(self) -> None:
        """Return when the cluster has a leader and all of its nodes."""

        async def has_all() -> bool:
            try:
                client = await nats.connect([node.url for node in self.nodes], connect_timeout=1)
            except (nats.errors.Error, OSError):
                return False
            try:
                made = await client.jetstream(timeout=1).add_stream(
                    name="probe", subjects=["probe"], num_replicas=NODES
                )
                await client.jetstream(timeout=1).delete_stream("probe")
            except (nats.errors.Error, TimeoutError):
                return False
            finally:
                await client.close()
            return made.cluster is not None

        await eventually(has_all, "the cluster has a leader and three nodes", deadline_s=60)

    async def leader(self) -> Nats:
        """Return the node that leads the stream of events."""
        found = await self._until(lambda each: bool(each.leader), "the stream has a leader")
        return self.nodes[int(str(found.leader).removeprefix("n"))]

    async def is_whole(self) -> None:
        """Return when every node has all of the stream of events."""

        def all_are_current(found: ClusterInfo) -> bool:
            followers = [each for each in found.replicas or [] if each.current and not each.offline]
            return bool(found.leader) and len(followers) == NODES - 1

        await self._until(all_are_current, "each node has the whole stream")

    async def _until(self, condition: Callable[[ClusterInfo], bool], what: str) -> ClusterInfo:
        """Return what the cluster says of the stream of events, once `condition` holds of it."""
        found: ClusterInfo | None = None

        async def holds() -> bool:
            nonlocal found
            try:
                client = await nats.connect(self.url.split(","), connect_timeout=1)
            except (nats.errors.Error, OSError):
                return False
            try:
                found = (await client.jetstream(timeout=1).stream_info(STREAM)).cluster
            except (nats.errors.Error, TimeoutError):
                return False
            finally:
                await client.close()
            return found is not None and condition(found)

        await eventually(holds, what, deadline_s=60, seen=lambda: f"but {found}")
        assert found is not None
        return found

    def _node(self, index: int) -> type[Nats]:
        routes = self._routes

        class Node(Nats):
            def __init__(self, folder: Path) -> None:
                super().__init__(folder)
                self.config = folder / "nats.conf"

            def prepare(self) -> None:
                super().prepare()
                assert self.config is not None
                others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
                self.config.write_text(
                    _CONFIGURATION.format(
                        name=f"n{index}",
                        port=self.port,
                        route=routes[index],
                        routes=others,
                        store_dir=self.data_dir,
                    )
                )

        return Node


async def settled(cluster: NatsCluster) -> None:
    """Start the cluster and wait for it, without holding up the event loop."""
    await asyncio.to_thread(cluster.start)
    await cluster.ready()
