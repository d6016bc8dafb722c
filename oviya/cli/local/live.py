"""The display of `oviya up`: a live table, plain lines if the output is not a terminal, or JSON lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from oviya.cli.local.process import ServiceProcess, State
from oviya.cli.local.supervisor import LocalMesh
from oviya.cli.output import Output, line, printable

STYLES = {
    State.STARTING: "yellow",
    State.READY: "green",
    State.NOT_READY: "yellow",
    State.STOPPING: "yellow",
    State.STOPPED: "dim",
    State.DIED: "bold red",
}
MIB = 1 << 20
FIRST_LINES, LAST_LINES = 2, 10
"""Lines under the table that always stay, such as the page's address, and the newest of the others."""


class View(ABC):
    """Displays the state of a mesh."""

    def __init__(self, output: Output, mesh: LocalMesh) -> None:
        self.output = output
        self.mesh = mesh

    @abstractmethod
    def update(self) -> None:
        """Called a few times a second."""

    @abstractmethod
    def say(self, *parts: str | tuple[str, str], **facts: Any) -> None:
        """Shows a message: (text, style) parts for people, `facts` for programs."""

    def close(self) -> None:
        """Shows the final state."""
        self.update()


class TableView(View):
    """A table that is redrawn in place."""

    def __init__(self, output: Output, mesh: LocalMesh) -> None:
        super().__init__(output, mesh)
        self._lines: list[Text] = []
        self._live = Live(self._render(), console=output.console, refresh_per_second=8)
        self._live.start()

    def update(self) -> None:
        self._live.update(self._render())

    def say(self, *parts: str | tuple[str, str], **facts: Any) -> None:
        self._lines.append(line(*parts))
        del self._lines[FIRST_LINES:-LAST_LINES]
        self.update()

    def close(self) -> None:
        self.update()
        self._live.stop()

    def _render(self) -> Group:
        table = Table("service", "state", "gRPC address", "pid", "memory", box=None, pad_edge=False)
        for service in self.mesh.services.values():
            state = Text(printable(_state_text(service)), style=STYLES[service.state])
            table.add_row(service.name, state, service.address, _pid(service), _memory(service.memory_bytes))
        total = sum(service.memory_bytes for service in self.mesh.services.values())
        table.add_row(Text("together", style="dim"), "", "", "", _memory(total))
        return Group(table, *self._lines)


class LineView(View):
    """One line per change."""

    def __init__(self, output: Output, mesh: LocalMesh) -> None:
        super().__init__(output, mesh)
        self._shown: dict[str, State] = {}

    def update(self) -> None:
        for name, service in self.mesh.services.items():
            if self._shown.get(name) is not service.state:
                self._shown[name] = service.state
                self.show(service)

    def show(self, service: ServiceProcess) -> None:
        """Prints the new state of a service."""
        self.output.text(f"{service.name:8} {_state_text(service)}  {service.address}  pid {_pid(service)}")

    def say(self, *parts: str | tuple[str, str], **facts: Any) -> None:
        self.output.text(*parts)


class JsonView(LineView):
    """One JSON document per line: `{"event": "state", ...}` for each change, and the facts of each message."""

    def show(self, service: ServiceProcess) -> None:
        self.output.document(
            {
                "event": "state",
                "service": service.name,
                "state": service.state.value,
                "address": service.address,
                "pid": service.pid,
                "memory_bytes": service.memory_bytes,
                "ready_after_s": service.ready_after_s,
                "log": str(service.log),
            }
        )

    def say(self, *parts: str | tuple[str, str], **facts: Any) -> None:
        if facts:
            self.output.document(facts)


def open_view(output: Output, mesh: LocalMesh) -> View:
    """Returns the view that suits standard output."""
    if output.as_json:
        return JsonView(output, mesh)
    return TableView(output, mesh) if output.console.is_terminal else LineView(output, mesh)


def _state_text(service: ServiceProcess) -> str:
    if service.state is State.READY and service.ready_after_s is not None:
        return f"ready after {service.ready_after_s:.1f} s" + (f", {service.detail}" if service.detail else "")
    if service.state is State.DIED:
        return service.exit_reason + (f"; {service.detail}" if service.detail else "")
    return f"{service.state}: {service.detail}" if service.detail else str(service.state)


def _pid(service: ServiceProcess) -> str:
    return "-" if service.pid is None else str(service.pid)


def _memory(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f} MiB" if size_bytes else "-"
