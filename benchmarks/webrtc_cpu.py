"""CPU time of the gateway for a browser's session: idle, and while it speaks.

    python -m benchmarks.webrtc_cpu --seconds 20

Starts the mesh as `oviya up` does, on free ports, connects an aiortc client over the loopback address, and reads the
CPU time of the gateway's process.  Prints a table and writes build/benchmarks/webrtc_cpu.json.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil

from benchmarks.report import MACHINE, parser_for, print_table, write_json
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from tests.support.webrtc_client import Browser, browser

READY_S = 240.0
TEXT = "I feel sad and lonely. What can I do about it?"
NOISE_LEVEL = 0.0005
"""Standard deviation of the microphone's noise.  Browsers send 50 packets a second of a quiet room, too."""
SETTLE_S = 2.0
"""Time after the connection before the first measurement."""


def main() -> None:
    """Measures and prints."""
    parser = parser_for("webrtc_cpu", __doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    options = parser.parse_args()
    env = {**os.environ, "GATEWAY_ICE_BIND_ADDRESSES": '["127.0.0.1"]'}
    with tempfile.TemporaryDirectory() as logs, LocalMesh(plan_on_free_ports(env), Path(logs)) as mesh:
        mesh.start()
        mesh.wait_ready(READY_S)
        figures = asyncio.run(measure(mesh, options.seconds))
    print_table(f"Gateway, one browser ({MACHINE})", ["figure", "value"], [[k, f"{v:.2f}"] for k, v in figures.items()])
    write_json(options.json, figures)


async def measure(mesh: LocalMesh, seconds: float) -> dict[str, float]:
    """Returns shares of a core in percent, each without that of a gateway without sessions, and the underruns."""
    process = psutil.Process(mesh.services[GATEWAY].pid)

    def cpu_s() -> float:
        times = process.cpu_times()
        return times.user + times.system

    base = await share(cpu_s, seconds)
    async with aiohttp.ClientSession(mesh.plan.http_url) as http, browser() as user:
        assert user.microphone
        user.microphone.noise = NOISE_LEVEL
        async with http.post("/offer", json={"type": "offer", "sdp": await user.offer()}) as response:
            response.raise_for_status()
            await user.connect((await response.json())["sdp"])
        await asyncio.sleep(SETTLE_S)
        idle = await share(cpu_s, seconds)
        speaking = await speaking_share(user, cpu_s, seconds)
        async with http.get("/metrics") as response:
            counted = re.search(r"^oviya_gateway_playout_underruns_total (\S+)", await response.text(), re.MULTILINE)
    return {
        "without a session, % of a core": base,
        "idle session, % of a core more": idle - base,
        "speaking session, % of a core more": speaking - base,
        "underruns": float(counted[1]) if counted else 0.0,
    }


async def share(cpu_s: Callable[[], float], seconds: float) -> float:
    """Returns the share of a core, in percent, over the next seconds."""
    cpu, since = cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    return 100 * (cpu_s() - cpu) / (time.monotonic() - since)


async def speaking_share(user: Browser, cpu_s: Callable[[], float], seconds: float) -> float:
    """Returns the share while replies are played, from their first sentence to their end."""
    cpu = length = 0.0
    while length < seconds:
        user.send({"text": TEXT})
        await user.event("replySentence")
        began, since = cpu_s(), time.monotonic()
        await user.event("replyEnded")
        cpu, length = cpu + cpu_s() - began, length + time.monotonic() - since
    return 100 * cpu / length


if __name__ == "__main__":
    main()
