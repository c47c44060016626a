"""Measures what one checkout costs the PSP simulator in CPU time.

`python -m bench.psp_sim_cost` starts a simulator of its own, pays at a number of keep-alive
connections, takes the webhooks, and prints milliseconds of the simulator's CPU per payment.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import orjson
import psutil
import uvloop

# A start-up is well under a second; more means that something is wrong.
START_TIMEOUT_S: Final = 20.0
# Webhooks follow their payments within milliseconds unless the simulator has fallen behind.
DRAIN_TIMEOUT_S: Final = 30.0


@dataclass(slots=True)
class Webhooks:
    """A minimal endpoint that answers 200 and counts."""

    received: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_content_length(head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                self.received += 1
                if self.received >= self.wanted:
                    self.done.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _request(number: int) -> bytes:
    body = urlencode(
        {
            "amount": 1999,
            "currency": "eur",
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "capture_method": "automatic",
            "description": f"Order ord_{number:026d}",
            "receipt_email": "buyer@example.com",
            "metadata[payment_id]": f"pay_{number:026d}",
            "metadata[order_id]": f"ord_{number:026d}",
            "metadata[correlation_id]": f"cor_{number:026d}",
            "metadata[merchant_id]": "mer_demo",
        }
    ).encode()
    head = (
        "POST /v1/payment_intents HTTP/1.1\r\nHost: sim\r\n"
        "Authorization: Bearer sk_test_bench\r\nAccept: */*\r\n"
        "Stripe-Version: 2026-10-28.endive\r\nUser-Agent: Stripe/v1 PythonBindings/16.1.0\r\n"
        f"Idempotency-Key: pay_{number:026d}:create:1\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _pay(port: int, numbers: "asyncio.Queue[int]") -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not numbers.empty():
        writer.write(_request(numbers.get_nowait()))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_content_length(head))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the simulator answered {head!r}")
    writer.close()


async def _round(port: int, webhooks: Webhooks, first: int, count: int, connections: int) -> None:
    numbers: asyncio.Queue[int] = asyncio.Queue()
    for number in range(first, first + count):
        numbers.put_nowait(number)
    webhooks.wanted += count
    webhooks.done.clear()
    await asyncio.gather(*(_pay(port, numbers) for _ in range(connections)))
    async with asyncio.timeout(DRAIN_TIMEOUT_S):
        await webhooks.done.wait()


async def measure(payments: int, connections: int, data_dir: Path) -> dict[str, float]:
    """Return CPU milliseconds per payment and payments per second of a fresh simulator."""
    webhooks = Webhooks()
    endpoint = await asyncio.start_server(webhooks.serve, "127.0.0.1", 0)
    webhook_port = endpoint.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "psp_sim",
        env={
            **os.environ,
            "FLORIN_PSP_SIM_PORT": "0",
            "FLORIN_DATA_DIR": str(data_dir),
            "FLORIN_PSP_WEBHOOK_URL": f"http://127.0.0.1:{webhook_port}/webhook",
            "FLORIN_PSP_API_KEY": "",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            port = orjson.loads(await process.stdout.readline())["port"]
        warm_up = payments // 10
        await _round(port, webhooks, 0, warm_up, connections)
        usage = psutil.Process(process.pid)
        before, began = usage.cpu_times(), time.monotonic()
        await _round(port, webhooks, warm_up, payments, connections)
        after, ended = usage.cpu_times(), time.monotonic()
        cpu_s = after.user + after.system - before.user - before.system
        return {
            "cpu_ms_per_payment": round(cpu_s * 1000 / payments, 4),
            "user_share": round((after.user - before.user) / cpu_s, 2),
            "payments_per_s": round(payments / (ended - began), 1),
            "rss_mib": round(usage.memory_info().rss / 2**20, 1),
        }
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        endpoint.close()


def main() -> None:
    """Print the measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as data_dir:
        result = uvloop.run(measure(arguments.payments, arguments.connections, Path(data_dir)))
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() + "\n")


if __name__ == "__main__":
    main()
