"""Reads checkpoints: card, config and weights.

A checkpoint is a folder with `config.json`, `model.safetensors` (or shards and `model.safetensors.index.json`) and,
if it ships with Oviya, `model_card.json`.  Errors are raised as `CheckpointError`, at start.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from oviya.errors import CheckpointError

if TYPE_CHECKING:  # torch is in the extras of the services that hold a model, not in the mesh's
    import torch

CARD_FILE = "model_card.json"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
RANDOM = "random"
"""Name for small random weights instead of a checkpoint, for tests."""

_CARD_TYPES: dict[type, type] = {str: str, bool: bool, tuple: list}
"""Types in the card's JSON by the types of the fields of `ModelCard`."""
_HUB_ID = re.compile(r"(?<![\w.-])[\w.-]++/[\w.-]++(@[\w./-]++)?")
_HUB_FILES = ["*.json", "model*.safetensors", "*transformers*.safetensors"]


@dataclass(frozen=True)
class ModelCard:
    """The card of a checkpoint, `model_card.json`.

    A checkpoint without a card counts as trained: published ones, such as `kyutai/mimi`, have none.

    Attributes:
        name: e.g. ``demo-csm``; by default the folder's name or `default_name`.
        trained: False: the weights are random.
        license: SPDX identifier of the weights' licence; empty: unknown.
        styles: style tokens that the checkpoint was trained on (CSM only).
        languages: supported languages (BCP 47), the main one first; empty: unknown.
        scripts: supported scripts by their Unicode names, e.g. ``Latin``; empty: any.
        description: one line.
    """

    name: str
    trained: bool = True
    license: str = ""
    styles: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    description: str = ""


def read_card(folder: Path, *, default_name: str = "") -> ModelCard:
    """Reads the card of the checkpoint in `folder`; without a card: trained, named after the folder.

    Raises:
        CheckpointError: the card is no JSON object, or a key has the wrong type.
    """
    path, default = folder / CARD_FILE, ModelCard(name=default_name or folder.name)
    if not path.exists():
        return default
    card, fields = _read_object(path), dict[str, Any]()
    for key, unset in asdict(default).items():
        kind = _CARD_TYPES[type(unset)]
        value = card.get(key, kind(unset))
        if not isinstance(value, kind):
            raise CheckpointError(f"{path}: {key!r} must be of type {kind.__name__}, not {type(value).__name__}")
        fields[key] = tuple(map(str, cast("list[object]", value))) if kind is list else value
    return ModelCard(**fields)


def write_card(folder: Path, card: ModelCard) -> None:
    """Writes `card` into the checkpoint's folder."""
    (folder / CARD_FILE).write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Reads `config.json` of the checkpoint in `folder`.

    Raises:
        CheckpointError: the folder or the file is missing, or it is no JSON object.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    return _read_object(folder / CONFIG_FILE)


def load_safetensors_state(folder: Path, *, wanted: Callable[[str], bool] | None = None) -> dict[str, torch.Tensor]:
    """Loads the weights of the checkpoint in `folder`, one file or shards, onto the CPU in their stored dtype.

    Args:
        folder: the checkpoint.
        wanted: selects tensors by name; None: all.

    Raises:
        CheckpointError: a file is missing, truncated or damaged, or the index names a tensor that its shard lacks.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    names_by_file = _weight_files(folder)
    state: dict[str, torch.Tensor] = {}
    for file, names in names_by_file.items():
        state.update(_read_safetensors(folder / file, names, wanted))
    return state


def load_tensor(state: Mapping[str, torch.Tensor], names: str | Sequence[str], shape: Sequence[int]) -> torch.Tensor:
    """Returns the tensor under the first name that `state` contains, as float32.

    Raises:
        CheckpointError: no such tensor, or its shape is not `shape`.
    """
    candidates = (names,) if isinstance(names, str) else tuple(names)
    for name in candidates:
        if name in state:
            tensor = state[name]
            if tuple(tensor.shape) != tuple(shape):
                raise CheckpointError(
                    f"checkpoint tensor {name} has shape {tuple(tensor.shape)}, its config asks for {tuple(shape)}"
                )
            return tensor.float()
    raise CheckpointError(f"checkpoint lacks the tensor {' or '.join(candidates)}")


def shipped_checkpoint(name: str) -> Path:
    """Returns the folder of a checkpoint that ships with Oviya, e.g. "demo-csm".

    The folder `models` is that of OVIYA_MODELS, by default the one beside the code, as in a clone.

    Raises:
        CheckpointError: the folder does not exist.
    """
    models = Path(os.environ.get("OVIYA_MODELS") or Path(__file__).parents[2] / "models")
    folder = models / name
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such folder; the checkpoint {name} ships with Oviya's repository",
            hint="set OVIYA_MODELS to its folder `models`, or name another checkpoint",
        )
    return folder


def resolve_checkpoint(spec: str) -> Path:
    """Returns the folder of a checkpoint: `spec` is a folder, or a hub id such as ``kyutai/mimi`` or
    ``kyutai/mimi@main``.

    A hub id is downloaded with huggingface_hub and its cache and token settings.

    Raises:
        CheckpointError: no such folder, or the download failed.
    """
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(spec) or spec.startswith("."):
        raise CheckpointError(f"checkpoint {spec!r}: no such folder")
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
    except ImportError:
        raise CheckpointError(
            f"checkpoint {spec!r}: no such folder, and as a hub id it needs a package that is not installed",
            hint="pip install huggingface_hub, or give a folder",
        ) from None
    repository, _, revision = spec.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES))
    except Exception as error:  # the client raises many types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"checkpoint {spec!r} cannot be fetched from the hub: {reason}") from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must hold a JSON object")
    return cast("dict[str, Any]", value)


def _weight_files(folder: Path) -> dict[str, list[str] | None]:
    """Returns the tensors of each file, from the index; None for a single file without an index.

    A config may name the file in `transformers_weights`: sesame/csm-1b also has a `model.safetensors` that is not in
    transformers' layout.
    """
    chosen = INDEX_FILE if (folder / INDEX_FILE).exists() else WEIGHTS_FILE
    if (folder / CONFIG_FILE).exists():
        chosen = Path(str(_read_object(folder / CONFIG_FILE).get("transformers_weights") or chosen)).name
    if not (folder / chosen).exists():
        raise CheckpointError(f"{folder / chosen}: no such file, and no {INDEX_FILE}")
    if not chosen.endswith(".json"):
        return {chosen: None}
    weight_map = _read_object(folder / chosen).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{folder / chosen}: has no weight_map")
    files: dict[str, list[str] | None] = {}
    for name, file in cast("dict[str, object]", weight_map).items():
        # The name is checked, not its target: in the hub's cache the files are links.
        if not isinstance(file, str) or not file or file in (".", "..") or re.search(r"[/\\\0]", file):
            raise CheckpointError(
                f"{folder / chosen}: weight_map names {str(file)[:100]!r} for {name}, not a file of this folder"
            )
        promised = files.setdefault(file, [])
        assert promised is not None
        promised.append(name)
    return files


def _read_safetensors(
    path: Path, names: list[str] | None, wanted: Callable[[str], bool] | None
) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    try:
        opened: Any = safe_open(path, framework="pt")  # untyped in its stubs
        with opened as file:
            keys: list[str] = list(file.keys()) if names is None else names
            return {name: file.get_tensor(name) for name in keys if wanted is None or wanted(name)}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged weights: {error}") from None
