"""Which module may import which: layers, no circles, the client without the server runtime, engines without gRPC.

Imports within functions count; those under `if TYPE_CHECKING` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = {
    "oviya": (
        "cli > client, model > mesh, text, audio"
        " > writing > emotions, rvq, status, streams, tasks, durations > errors > v1"
    ),
    "services.brain": (
        "server > failover > ollama, listener, circuit_breaker > settings > tool_spec, emotions > backend"
        " > metrics, tables"
    ),
    "services.csm": (
        "server > random_checkpoint > engine > device > checkpoint > request > model > interpreter, settings, metrics"
    ),
    "services.emotion": (
        "server > load, responses, utterance > engine > fusion, policy > voice, words"
        " > affect > settings > prosody > metrics"
    ),
    "services.gateway": (
        "service > transport > conversation > turn > voice, own_voice > upstream > memory"
        " > echo > settings, quota > client_address, ice_policy, ice_servers, rate, metrics"
    ),
    "services.mimi": (
        "server, detect_watermark > load > engine > checkpoint > model > watermark, spread_spectrum > settings, metrics"
    ),
    "services.stt": (
        "server > backends > engine > decode, endpoint > log_mel > recognizer > settings, metrics, packages"
    ),
}
"""Rooms, from the top down.  A room imports what is to its right; rooms between two `>` do not import each other."""

USE_GRPC = {
    *(f"services.{name}.server" for name in ("brain", "csm", "emotion", "mimi", "stt")),
    *(
        f"services.gateway.{room}"
        for room in ("service", "transport", "conversation", "turn", "voice", "own_voice", "upstream")
    ),
}
"""Rooms of services that may import grpc; engines and models are used without it."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for folder in ("oviya", "services") for path in (ROOT / folder).rglob("*.py")}


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: without the bodies of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *nodes(other))
        else:
            yield from (child, *nodes(child))


def imports_of(path: Path) -> set[str]:
    """The names of the modules that a file imports; relative imports are not used here (ruff's TID)."""
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else node.module)
    return found


IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}
PAIRS = [(module, imported) for module in sorted(IMPORTS) for imported in sorted(IMPORTS[module] & MODULES.keys())]


def part_of(module: str) -> str:
    """The service of a module, or `oviya`."""
    return ".".join(module.split(".")[: 2 if module.startswith("services.") else 1])


def room_of(module: str) -> str:
    """The room within its service or within `oviya`; empty: the part's own `__init__`."""
    return module.removeprefix(part_of(module)).lstrip(".").split(".")[0]


def levels(part: str) -> dict[str, int]:
    layers = ["__main__", *LAYERS[part].split(">")]
    return {room.strip(): level for level, layer in enumerate(layers) for room in layer.split(",")}


def fault_of(module: str, imported: str) -> str | None:
    """Says which rule the import breaks and what to do about it."""
    part, other = part_of(module), part_of(imported)
    if part == "oviya" and other != "oviya":
        return "`oviya` imports no service; move what both need to `oviya`"
    if other not in {part, "oviya"}:
        return "no service imports another; call it over gRPC, or move what both need to `oviya`"
    if module.startswith(("oviya.client", "oviya.cli")) and imported.startswith("oviya.mesh"):
        return "apps call Oviya without the server runtime; move what both need to a module of `oviya`"
    here, there = room_of(module), room_of(imported)
    level = levels(part)
    if part != other or here == there or here not in level or there not in level or level[here] < level[there]:
        return None
    return f"{part} is layered {LAYERS[part]}; pass the value in, or move it to the lower of the two"


def chain(start: str, targets: Iterable[str]) -> list[str]:
    """The shortest way by imports from `start` to one of `targets`, which may be packages; empty: there is none."""
    queue, seen = [[start]], {start}
    for way in queue:
        for imported in sorted(IMPORTS.get(way[-1], ())):
            if any(imported == target or imported.startswith(f"{target}.") for target in targets):
                return [*way, imported]
            packages = [imported[:end] for end, sign in enumerate(imported) if sign == "."]  # their __init__ runs too
            for module in (imported, *packages):
                if module not in seen:
                    seen.add(module)
                    queue.append([*way, module])
    return []


@pytest.mark.parametrize("part", LAYERS)
def test_every_room_has_its_layer(part):
    rooms = {room_of(module) for module in MODULES if part_of(module) == part} - {"", "__main__"}
    assert rooms == levels(part).keys() - {"__main__"}, "put a new room in its layer, and take a gone one out"


def test_every_service_has_its_layers():
    assert {part_of(module) for module in MODULES} - {"services"} == LAYERS.keys()


def test_no_import_breaks_a_rule():
    broken = [
        f"{module} imports {imported}: {fault}" for module, imported in PAIRS if (fault := fault_of(module, imported))
    ]
    assert not broken, "\n".join(broken)


def test_no_modules_import_each_other():
    inside = {module: imported & MODULES.keys() - {module} for module, imported in IMPORTS.items()}
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        pytest.fail(f"import circle {circle}: move what both ends need to a module below them")


@pytest.mark.parametrize("room", ["oviya.client", "oviya.cli"])
def test_apps_need_no_server_runtime(room):
    for module in MODULES:
        if module == room or module.startswith(f"{room}."):
            way = chain(module, ["oviya.mesh"])
            assert not way, f"{' -> '.join(way)}: move what both need to a module of `oviya`"


def test_engines_and_models_need_no_grpc():
    for module in MODULES:
        part, room = part_of(module), room_of(module)
        if not part.startswith("services.") or room in ("", "__main__") or f"{part}.{room}" in USE_GRPC:
            continue
        way = chain(module, ["grpc"])
        assert not way, f"{' -> '.join(way)}: leave gRPC to the servicer, and hand the engine values"
