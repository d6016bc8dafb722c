"""Loads the engine that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import torch

from oviya.model.checkpoint import RANDOM, shipped_checkpoint
from oviya.model.device import choose_device
from services.mimi.checkpoint import load_checkpoint, random_checkpoint
from services.mimi.engine.capacity import choose_capacity
from services.mimi.engine.engine import MimiEngine
from services.mimi.settings import MimiSettings
from services.mimi.watermark import load_watermark

log = structlog.get_logger()


def load_engine(settings: MimiSettings, on_lost: Callable[[], object] = lambda: None) -> MimiEngine:
    """Loads the checkpoint that `settings` selects and starts an engine that has been warmed up.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        WatermarkError: the watermark cannot be loaded.
        OviyaError: the device cannot be used.
    """
    torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    if settings.checkpoint == RANDOM:
        log.warning("random weights produce noise", setting="MIMI_CHECKPOINT")
        checkpoint = random_checkpoint(device)
    else:
        checkpoint = load_checkpoint(settings.checkpoint or str(shipped_checkpoint("demo-mimi")), device)
    log.info("checkpoint", name=checkpoint.card.name, trained=checkpoint.card.trained, device=str(device))
    watermark = load_watermark(
        settings.watermark,
        sample_rate_hz=checkpoint.model.config.sample_rate_hz,
        key=settings.watermark_key.get_secret_value(),
    )
    if watermark:
        log.info("decoded sound is marked", watermark=watermark.name)
    capacity = choose_capacity(checkpoint.model, settings.decode_streams, settings.encode_streams)
    log.info("capacity", decode_streams=capacity.decode_streams, encode_streams=capacity.encode_streams)
    engine = MimiEngine(
        checkpoint,
        decode_streams=capacity.decode_streams,
        encode_streams=capacity.encode_streams,
        threads=settings.threads,
        watermark=watermark,
        program=settings.program,
        on_lost=on_lost,
    )
    engine.warm_up()
    return engine
