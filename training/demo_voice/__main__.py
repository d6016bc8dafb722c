"""Makes the demo voice: `python -m training.demo_voice --work build/demo-voice --models models`.

The stages run one after the other.  A run that was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from services.csm.model.config import CsmConfig
from services.csm.request.tokenizer import TextTokenizer
from training.demo_voice.clips import write_clips
from training.demo_voice.codec import Codec
from training.demo_voice.corpus import SHARD_ITEMS, Corpus, load_corpus, plan
from training.demo_voice.documents import Utterances, Writer
from training.demo_voice.export import export_csm, export_mimi, model_fields
from training.demo_voice.sizes import mimi_config
from training.demo_voice.tokenizer import build_tokenizer, write_tokenizer
from training.demo_voice.train_codec import train_codec
from training.demo_voice.train_csm import train_csm
from training.demo_voice.voices import STYLES

STAGES = ("speech", "codec", "codes", "csm", "clips", "pictures")
HELD_BACK = 50
"""Every so many-th utterance is held out of training; the losses on these show over-fitting."""


def main() -> None:
    """Runs the requested stages."""
    options = _options()
    if options.device.startswith("cuda:"):
        torch.cuda.set_device(torch.device(options.device))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    (work / "options.json").write_text(json.dumps({k: str(v) for k, v in vars(options).items()}, indent=2))
    wanted = options.stages.split(",")
    for stage in STAGES:
        if stage not in wanted:
            continue
        began = time.monotonic()
        print(f"== {stage}", flush=True)
        globals()[f"_{stage}"](options)
        print(f"== {stage} took {time.monotonic() - began:.0f} s", flush=True)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/demo-voice"), help="for shards, states and losses")
    parser.add_argument("--models", type=Path, default=Path("models"), help="for the finished checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"some of {', '.join(STAGES)}")
    parser.add_argument("--utterances", type=int, default=150_000)
    parser.add_argument(
        "--codec-shards", type=int, default=60, help="shards that the codec learns from; it starts then"
    )
    parser.add_argument("--codec-seconds", type=float, default=950)
    parser.add_argument("--csm-seconds", type=float, default=340)
    parser.add_argument("--steps", type=int, help="steps of every stage instead of seconds, for a dry run")
    parser.add_argument("--batch", type=int, help="batch size of every stage, for a dry run")
    parser.add_argument("--workers", type=int, help="processes that make speech; default: one a core")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _shards(options: Any) -> Path:
    return options.work / "shards"


def _speech(options: Any) -> None:
    """Makes the shards that the codec needs; if more are requested, the rest is made in the background."""
    total = -(-options.utterances // SHARD_ITEMS)
    background = [sys.executable, "-m", "training.demo_voice.shards", str(_shards(options)), str(options.utterances)]
    background += [str(options.seed), *([str(options.workers)] if options.workers else [])]
    process = subprocess.Popen(background)
    needed = min(options.codec_shards, total)
    while (done := len(list(_shards(options).glob("shard-?????.npz")))) < needed:
        if process.poll():
            raise SystemExit("making speech failed")
        print(f"speech: {done} of {total} shards", flush=True)
        time.sleep(3)
    options.background = process


def _wait_for_speech(options: Any) -> Corpus:
    process = getattr(options, "background", None)
    if process is not None and process.wait():
        raise SystemExit("making speech failed")
    corpus = load_corpus(_shards(options))
    print(f"{len(corpus.numbers)} utterances, {corpus.hours:.1f} h", flush=True)
    return corpus


def _batch(options: Any) -> dict[str, int]:
    return {"batch": options.batch} if options.batch else {}


def _codec(options: Any) -> None:
    corpus = load_corpus(_shards(options), options.codec_shards)
    print(f"the codec learns from {corpus.hours:.1f} h", flush=True)
    codec = train_codec(
        corpus, options.work, device=torch.device(options.device), seconds=options.codec_seconds, steps=options.steps,
        seed=options.seed, **_batch(options),
    )  # fmt: skip
    export_mimi(codec, options.models / "demo-mimi")


def _codes(options: Any) -> None:
    """Encodes every utterance at its own length."""
    corpus = _wait_for_speech(options)
    device = torch.device(options.device)
    codec = Codec(mimi_config()).to(device).eval()
    codec.load_state_dict(torch.load(options.work / "codec.pt", map_location=device, weights_only=True)["codec"])
    codec.quantizer.semantic_residual_vector_quantizer.codebooks()[0].close_reserved()
    torch.backends.cudnn.benchmark = False  # lengths vary
    frames = np.diff(corpus.starts)
    order = np.argsort(frames, kind="stable")
    codes = np.zeros((int(corpus.starts[-1]), codec.config.codebooks), np.uint16)
    at = 0
    while at < len(order):
        longest = int(frames[order[min(at + 511, len(order) - 1)]])
        chosen = order[at : at + max(1, min(512, 25_600 // longest))]
        longest = int(frames[chosen].max())
        batch = np.zeros((len(chosen), longest * 1920), np.int16)
        for row, number in enumerate(chosen):
            start, stop = corpus.starts[number] * 1920, corpus.starts[number + 1] * 1920
            batch[row, : stop - start] = corpus.samples[start:stop]
        found = codec.encode(torch.from_numpy(batch).to(device).float() / 32768).cpu().numpy()
        for row, number in enumerate(chosen):
            codes[corpus.starts[number] : corpus.starts[number + 1]] = found[row, : frames[number]]
        at += len(chosen)
    used = [len(np.unique(codes[:, q])) for q in range(codes.shape[1])]
    print(f"codes in use, by codebook: {used}", flush=True)
    np.savez(
        options.work / "codes.npz",
        numbers=corpus.numbers, starts=corpus.starts, codes=codes, phones=corpus.phones.reshape(-1, 2),
    )  # fmt: skip


def _csm(options: Any) -> None:
    stored = np.load(options.work / "codes.npz")
    items = plan(options.utterances, options.seed)
    utterances = Utterances(
        [items[number] for number in stored["numbers"]], stored["codes"], stored["phones"], stored["starts"]
    )
    config = CsmConfig.from_fields(model_fields())
    with TemporaryDirectory() as folder:
        write_tokenizer(build_tokenizer(tuple(STYLES)), Path(folder))
        tokenizer = TextTokenizer(Path(folder), config, tuple(STYLES))
    # Whole groups of anonymous voices, and some utterances of the known ones.
    held_back = [
        n
        for n, item in enumerate(utterances.items)
        if (item.number if item.speaker >= 0 else item.group) % HELD_BACK == 0
    ]
    if not held_back:
        raise SystemExit(f"{len(utterances)} utterances are too few to hold any back: ask for {HELD_BACK * 4} or more")
    of_held_back = set(held_back)
    learn = [n for n in range(len(utterances)) if n not in of_held_back]
    print(f"the CSM learns from {len(learn)} utterances and is judged by {len(held_back)}", flush=True)
    model = train_csm(
        config, Writer(utterances, tokenizer, learn), Writer(utterances, tokenizer, held_back), options.work,
        device=torch.device(options.device), seconds=options.csm_seconds, steps=options.steps, seed=options.seed,
        workers=min(12, options.workers or 12) if options.device != "cpu" else 0, **_batch(options),
    )  # fmt: skip
    export_csm(model, options.models / "demo-csm")


def _clips(options: Any) -> None:
    write_clips(options.models / "demo-mimi", options.models / "demo-csm")
    for name in ("demo-mimi", "demo-csm"):
        size = sum(file.stat().st_size for file in (options.models / name).iterdir())
        print(f"{options.models / name}: {size / 1e6:.1f} MB", flush=True)


def _pictures(options: Any) -> None:
    from training.demo_voice.pictures import draw_losses, draw_spectrograms  # slow to import

    mimi, csm = options.models / "demo-mimi", options.models / "demo-csm"
    draw_losses(options.work, csm / "losses.png")
    draw_spectrograms(mimi, csm, csm / "spectrogram.png")


if __name__ == "__main__":
    main()
