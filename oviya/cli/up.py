"""`oviya up`: the whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from oviya.cli.local.live import View, open_view
from oviya.cli.local.plan import GATEWAY, plan_mesh
from oviya.cli.local.restarts import Restarter, ServiceExit
from oviya.cli.local.supervisor import POLL_S, LocalMesh
from oviya.cli.options import AsJson
from oviya.cli.output import Output, exit_on_error

STATE_DIR = Path(".oviya")
READY_TIMEOUT_S = 120.0
"""Starting takes seconds, but far longer with a cold disk or on a busy machine."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopFlag:
    """A flag for signal handlers.  A `threading.Event` cannot be used: the interrupted thread may hold its lock."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        """Sleeps, and returns whether the flag is set afterwards."""
        time.sleep(0.0 if self._set else seconds)
        return self._set


def up(
    http_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the page (GATEWAY_HTTP_PORT).")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the gRPC API (GATEWAY_PORT).")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A service not to start here, e.g. because it runs on a GPU node.")
    ] = None,
    logs: Annotated[Path, typer.Option(help="Folder for one log file a service.")] = STATE_DIR / "logs",
    timeout: Annotated[float, typer.Option(help="Longest time in seconds until all are ready.")] = READY_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Start the mesh on this machine and keep it running until Ctrl-C.

    Every setting of a service is an environment variable, e.g. STT_PORT=6001 or CSM_LOG_LEVEL=debug.

    A service that dies is started again, up to five times within five minutes.
    """
    output = Output(as_json)
    with exit_on_error(output):
        plan = plan_mesh(os.environ, grpc_port=grpc_port, http_port=http_port, without=without or ())
        with _stop_signals() as stopping, _shown(LocalMesh(plan, logs), output, stopping) as view:
            _start(view, stopping, timeout)
            _watch(view, stopping)


def _start(view: View, stopping: StopFlag, timeout_s: float) -> None:
    """Starts all services and waits until they are ready.

    Raises:
        ServiceDied: a service exited.
        Timeout: the services were not ready in time.
    """
    mesh, started_at = view.mesh, time.monotonic()
    mesh.start()

    def tick() -> bool:
        view.update()
        return stopping.is_set()

    if mesh.wait_ready(timeout_s, tick=tick):
        _report_ready(view, time.monotonic() - started_at)


def _report_ready(view: View, elapsed_s: float) -> None:
    plan = view.mesh.plan
    memory = sum(service.memory_bytes for service in view.mesh.services.values())
    here = {"http": plan.http_url, "grpc": plan.address(GATEWAY)} if GATEWAY in plan.ports else {}
    view.say(("Oviya is ready", "bold green"), f" after {elapsed_s:.1f} s.  Ctrl-C stops it.")
    if here:
        view.say("Open ", (plan.http_url, "bold underline"), f"   gRPC: {here['grpc']}   logs: {view.mesh.log_dir}")
    facts = {"event": "ready", "after_s": elapsed_s, "memory_bytes": memory, **here}
    view.output.document(facts)


def _watch(view: View, stopping: StopFlag) -> None:
    """Shows the mesh until a stop signal arrives, and restarts services that exit.

    Raises:
        ServiceDied: the gateway exited too often.
    """
    mesh = view.mesh
    restarter = Restarter(mesh)
    while not stopping.wait(POLL_S):
        mesh.poll()
        for exited in restarter.check():
            report_exit(view, exited)
            if exited.restart is None and exited.service.name == GATEWAY:
                raise exited.service.exit_error()
        view.update()


def report_exit(view: View, exited: ServiceExit) -> None:
    """Reports which service exited, why, and whether it is restarted."""
    service = exited.service
    view.update()  # shows the state before the restart
    view.say(
        (str(exited), "yellow" if exited.restart else "bold red"),
        event="died",
        service=service.name,
        exit_code=service.exit_code,
        how=exited.how,
        last_error=exited.last_error,
        restart=exited.restart,
        restart_in_s=exited.delay_s if exited.restart else None,
        log=str(service.log),
    )


@contextmanager
def _shown(mesh: LocalMesh, output: Output, stopping: StopFlag) -> Generator[View]:
    """Opens a view of `mesh`.  On exit the mesh is drained; a second signal kills it."""
    view = open_view(output, mesh)
    try:
        yield view
    finally:
        stopping.clear()
        view.say("Stopping; Ctrl-C again kills.", event="stopping")

        def tick() -> None:
            view.update()
            if stopping.is_set():
                mesh.kill()

        try:
            killed = mesh.stop(tick=tick)
            if killed:
                view.say(
                    (f"killed, as they did not end: {', '.join(killed)}", "yellow"), event="killed", services=killed
                )
        finally:
            mesh.kill()
            view.update()
            view.say("Stopped.", event="stopped")
            view.close()


@contextmanager
def _stop_signals() -> Generator[StopFlag]:
    """Returns a flag that SIGINT, SIGTERM and SIGHUP set."""
    stopping = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    for number in STOP_SIGNALS:
        before[number] = signal.signal(number, handle)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
