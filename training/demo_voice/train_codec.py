"""Trains the codec.

Training starts without the quantiser; later a falling share of the batch bypasses it.  The first codebook must predict
the phones, which makes it easy to predict from text, and all codebooks together must predict the pitch.  A phone
recognizer that is trained at the same time measures whether the output is understood like the input.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.demo_voice.codec import Codec, scale_layers
from training.demo_voice.corpus import Corpus
from training.demo_voice.losses import HarmonicDistance, MelDistance, wave_distance
from training.demo_voice.recognizer import PhoneRecognizer
from training.demo_voice.run import Budget, Log, Step, adam, learning_rate, load_state, save_state, set_rate
from training.demo_voice.sizes import mimi_config
from training.demo_voice.speech import FRAME_SAMPLES, PHONES, UNVOICED

RATE = 1e-3
ALONE, BARE, MIXED = 0.06, 0.12, 0.40
"""Shares of the stage: first only the wave loss, which does not begin to fall next to other losses; then no quantiser;
then part of the batch bypasses the quantiser."""
SETTLED = 0.60
"""Share of the stage from which on the wave loss has the weight WAVE_LAST: by then the codes contain the phase of the
voice, and more detail of the wave would cost words."""
MEL, HARMONIC, HEARD, COMMITMENT, PHONE, PITCH = 1.0, 0.5, 1.0, 0.25, 0.3, 1.0
WAVE, WAVE_LAST = 1.0, 0.1
SAVE_EVERY_S = 120


class Crops:
    """Copies random pieces of the corpus to the tensors that a recorded step reads.

    Args:
        corpus: the speech; kept on the device.
        batch, frames: B and T of a batch.
    """

    def __init__(self, corpus: Corpus, batch: int, frames: int, device: torch.device, seed: int) -> None:
        self._samples = torch.from_numpy(corpus.samples).to(device)
        self._phones = torch.from_numpy(corpus.phones).to(device)
        self._pitch = torch.from_numpy(corpus.pitch).to(device)
        # A piece may begin in any frame and continue into the next utterance.
        self._last = int(corpus.starts[-1]) - frames
        assert self._last > 0, "the corpus is shorter than a piece"
        self._random = np.random.default_rng(seed)
        self._device = device
        self.samples = torch.zeros(batch, frames * FRAME_SAMPLES, device=device)
        self.phones = torch.zeros(batch, 2 * frames, dtype=torch.int64, device=device)
        self.pitch = torch.zeros(batch, 2 * frames, device=device)
        self._ramp = torch.arange(frames * FRAME_SAMPLES, device=device)
        self._phone_ramp = torch.arange(2 * frames, device=device)

    def draw(self) -> None:
        """Fills `samples` (B, T 1920), `phones` and `pitch` (B, 2 T)."""
        first_frames = self._random.integers(0, self._last, len(self.samples))
        starts = torch.from_numpy(first_frames).to(self._device)[:, None]
        torch.div(self._samples[starts * FRAME_SAMPLES + self._ramp], 32768.0, out=self.samples)
        self.phones.copy_(self._phones[starts * 2 + self._phone_ramp])
        self.pitch.copy_(self._pitch[starts * 2 + self._phone_ramp])


def train_codec(
    corpus: Corpus,
    folder: Path,
    *,
    device: torch.device,
    seconds: float,
    steps: int | None = None,
    batch: int = 64,
    frames: int = 13,
    seed: int = 0,
) -> Codec:
    """Trains encoder, quantiser and decoder; resumes if `folder` has a state."""
    torch.manual_seed(seed)
    codec, mel = Codec(mimi_config()).to(device), MelDistance().to(device)
    harmonic = HarmonicDistance().to(device)
    recognizer = PhoneRecognizer().to(device)
    ear = nn.Linear(codec.config.codebook_dim, 2 * len(PHONES)).to(device)
    tuner = nn.Linear(codec.config.width, 2).to(device)
    crops = Crops(corpus, batch, frames, device, seed)
    parameters = [*codec.parameters(), *ear.parameters(), *tuner.parameters()]
    optimizer = adam(parameters, device, betas=(0.8, 0.99), decay=1e-3)
    of_recognizer = adam(list(recognizer.parameters()), device, betas=(0.9, 0.99), decay=1e-2)
    share = torch.ones((), device=device)  # share of the batch that bypasses the quantiser
    of_wave, weight = (
        torch.ones((), device=device),
        torch.zeros((), device=device),
    )  # of the wave loss, of the others
    on_gpu = device.type == "cuda"

    def body() -> dict[str, Tensor]:
        of_recognizer.zero_grad(set_to_none=True)
        recognizer.requires_grad_(True)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            learnt = recognizer.learn(crops.samples, crops.phones)
        learnt.backward()
        of_recognizer.step()
        recognizer.requires_grad_(False)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            latents = codec.latents(crops.samples).float()
        with torch.autocast(device.type, enabled=False):
            through = torch.rand(batch, device=device) < share
            found, meaning, commitment = codec.quantizer(latents, through)
            phones = ear(meaning).view(batch, 2 * frames, -1)
            heard_pitch = tuner(found).view(batch, 2 * frames)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            sound = codec.sound(found).float()
            heard = recognizer.distance(sound, crops.samples)
        distance = mel(sound, crops.samples)
        told = F.cross_entropy(phones.transpose(1, 2), crops.phones)
        voiced = crops.pitch > UNVOICED / 2
        off = ((heard_pitch - crops.pitch).abs() * voiced).sum() / voiced.sum().clamp(min=1)  # in octaves
        lines, wave = harmonic(sound, crops.samples), wave_distance(sound, crops.samples)
        others = MEL * distance + HARMONIC * lines + HEARD * heard
        others = others + COMMITMENT * commitment + PHONE * told + PITCH * off
        loss = of_wave * wave + weight * others
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        losses = {"mel": distance, "wave": wave, "lines": lines, "heard": heard, "learnt": learnt}
        losses |= {"commit": commitment, "phone": told, "pitch": off, "norm": norm}
        return {name: loss.detach() for name, loss in losses.items()}

    state = folder / "codec.pt"
    modules = {"codec": codec, "recognizer": recognizer, "ear": ear, "tuner": tuner}
    modules |= {"optimizer": optimizer, "of_recognizer": of_recognizer}
    done, step = load_state(state, modules, device)
    crops.draw()
    if not step:
        scale_layers(codec, crops.samples)
    for each in (optimizer, of_recognizer):
        set_rate(each, 1e-5)
    run = Step(body, graph=on_gpu)
    budget, log = Budget(seconds, steps, done=done), Log(folder / "losses.jsonl", "codec")
    saved, resumed_at = done, step
    while (progress := budget.progress(step)) < 1.0:
        share.fill_(_share_beside(progress))
        weight.fill_(_ramp(progress, ALONE, BARE))
        of_wave.fill_(WAVE + (WAVE_LAST - WAVE) * _ramp(progress, MIXED, SETTLED))
        for each in (optimizer, of_recognizer):
            set_rate(each, learning_rate(progress, RATE))
        crops.draw()
        run.run()
        step += 1
        if log.due():
            log.write(step, progress, run.losses())
        if progress - saved > SAVE_EVERY_S / seconds:
            save_state(state, progress, step, modules)
            saved = progress
    if step > resumed_at:
        log.write(step, 1.0, run.losses())
        save_state(state, 1.0, step, modules)
    return codec.eval()


def _ramp(progress: float, start: float, stop: float) -> float:
    """0 up to `start`, 1 from `stop`, linear in between."""
    return min(1.0, max(0.0, (progress - start) / (stop - start)))


def _share_beside(progress: float) -> float:
    return 1.0 if progress < BARE else 0.5 * (1.0 - _ramp(progress, BARE, MIXED))
