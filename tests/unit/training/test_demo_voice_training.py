"""The modules that are trained are the ones that serve: same codes, same sound, same positions, same files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from oviya.emotions.tables import read_tsv
from services.csm.checkpoint import load_checkpoint as load_csm
from services.csm.model.config import END_CODE, CsmConfig
from services.csm.request.prompt import NO_TEXT, Segment
from services.csm.request.tokenizer import TextTokenizer
from services.emotion.prosody.catalogue import DATA
from services.mimi.checkpoint import load_checkpoint as load_mimi
from services.mimi.engine.engine import MimiEngine
from tests.support.csm_prompt import build_prompt
from training.demo_voice.codec import Codec, scale_layers
from training.demo_voice.corpus import Corpus, Item, make_shards, plan
from training.demo_voice.documents import Utterances, Writer
from training.demo_voice.export import SHARPNESS, export_csm, export_mimi, model_fields
from training.demo_voice.recognizer import PhoneRecognizer
from training.demo_voice.sizes import mimi_config
from training.demo_voice.speech import PHONES, speak
from training.demo_voice.tokenizer import build_tokenizer, write_tokenizer
from training.demo_voice.train_codec import train_codec
from training.demo_voice.train_csm import Learner, new_model
from training.demo_voice.voices import HELD_OUT, SPEAKERS, STYLES, draw_anonymous, is_close

torch.set_num_threads(1)
CPU = torch.device("cpu")
TEXT = "It sounds like you had a long day."


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(0)
    codec = Codec(mimi_config()).eval()
    with torch.no_grad():
        for name, buffer in codec.named_buffers():
            if name.endswith("embed_sum"):
                buffer.normal_(0, 0.3)
            elif name.endswith("cluster_usage"):
                buffer.uniform_(0.5, 2.0)
        for parameter in codec.parameters():  # so that both sides hold the very same numbers
            parameter.copy_(parameter.half().float())
    return codec


@pytest.fixture(scope="module")
def mimi_folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimi")
    export_mimi(codec, folder)
    return folder


def test_a_new_codec_lets_sound_through_once_its_layers_are_scaled():
    torch.manual_seed(0)
    codec = Codec(mimi_config())
    samples = torch.randn(2, 1920 * 8) * 0.05

    def apart() -> float:
        """How far two sounds are from each other when they come out, against how far they were."""
        with torch.no_grad():
            sound = codec.sound(codec.latents(samples))
        return float((sound[0] - sound[1]).std() / (samples[0] - samples[1]).std())

    assert apart() < 0.01
    scale_layers(codec, samples)
    assert apart() > 0.2


def test_the_served_mimi_and_transformers_hear_and_speak_as_the_trained_codec(codec: Codec, mimi_folder: Path):
    samples = torch.randn(1, 1920 * 12, generator=torch.Generator().manual_seed(1)) * 0.1
    with MimiEngine(load_mimi(mimi_folder, CPU)) as engine:
        with engine.open_encoder(24_000) as stream:
            codes = np.concatenate((stream.encode(samples[0].numpy()).result(), stream.finish().result()))
        with engine.open_decoder() as stream:
            sound = stream.decode(codes).result()
    reference: Any = transformers.MimiModel.from_pretrained(mimi_folder, dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = reference.encode(samples[:, None]).audio_codes[0].T.numpy()
        their_sound = reference.decode(torch.from_numpy(codes.T)[None]).audio_values[0, 0].numpy()
        ours = codec.decode(torch.from_numpy(codes)[None])[0].numpy()
    assert (codes == theirs).mean() > 0.98
    assert (codes == codec.encode(samples)[0].numpy()).mean() > 0.95  # codebooks are rounded to float16 in the file
    assert np.abs(sound - their_sound).max() < 1e-4 * np.abs(their_sound).max()
    assert np.abs(sound - ours).max() < 1e-2 * np.abs(ours).max()


def test_no_frame_of_sound_begins_with_the_end_code(codec: Codec, mimi_folder: Path):
    samples = np.random.default_rng(0).standard_normal(1920 * 40).astype(np.float32)
    with MimiEngine(load_mimi(mimi_folder, CPU)) as engine, engine.open_encoder(24_000) as stream:
        assert (stream.encode(samples).result()[:, 0] != END_CODE).all()
    assert (codec.encode(torch.from_numpy(samples)[None])[..., 0] != END_CODE).all()


def test_styles_are_those_of_the_emotions():
    assert set(STYLES) == {row["style"] for row in read_tsv(DATA / "styles.tsv")}


def test_held_out_voices_are_never_drawn():
    random = np.random.default_rng(0)
    drawn = [draw_anonymous(random) for _ in range(2000)]
    assert not any(is_close(voice, held_out) for voice in drawn for held_out in HELD_OUT.values())
    assert not any(is_close(voice, held_out) for voice in SPEAKERS.values() for held_out in HELD_OUT.values())


def test_the_plan_is_the_same_for_the_same_seed():
    assert plan(300, 3) == plan(300, 3) != plan(300, 4)
    groups = {item.group: item.voice for item in plan(300, 3)}
    assert all(item.voice == groups[item.group] for item in plan(300, 3))


def test_speech_has_the_pitch_and_pace_that_were_asked_for():
    neutral, joy, sad = (speak(TEXT, SPEAKERS[1], STYLES[style]) for style in ("neutral", "joy", "sad"))

    def pitch(speech) -> float:
        return float(np.median(speech.pitch[speech.pitch > -4]))

    assert abs(100 * 2 ** pitch(neutral) / SPEAKERS[1].f0_hz - 1) < 0.1
    assert pitch(sad) < pitch(neutral) - 0.1 < pitch(joy) - 0.2
    assert len(joy.samples) < len(neutral.samples) < len(sad.samples)
    assert len(neutral.samples) == 960 * len(neutral.phones) == 960 * len(neutral.pitch)
    assert len(neutral.samples) % 1920 == 0
    assert 0.5 < np.mean(neutral.phones != PHONES.index("pau")) < 1.0


def test_shards_that_are_there_are_not_made_again(tmp_path: Path):
    items = plan(4, 0)
    first = [path.stat().st_mtime_ns for path in make_shards(items, tmp_path, workers=1)]
    assert [path.stat().st_mtime_ns for path in make_shards(items, tmp_path, workers=1)] == first


def test_a_codec_learns_logs_and_goes_on_where_it_was(tmp_path: Path):
    speech = [speak(text, SPEAKERS[1], STYLES["neutral"]) for text in (TEXT, "What did you do over the summer?")]
    corpus = Corpus(
        numbers=np.arange(2, dtype=np.int32),
        starts=np.cumsum([0, *(len(one.phones) // 2 for one in speech)]),
        samples=np.concatenate([one.samples for one in speech]),
        phones=np.concatenate([one.phones for one in speech]),
        pitch=np.concatenate([one.pitch for one in speech]),
    )
    sizes = {"device": CPU, "seconds": 60.0, "batch": 2, "frames": 4}
    first = train_codec(corpus, tmp_path, steps=3, **sizes)
    logged = (tmp_path / "losses.jsonl").read_text()
    last = json.loads(logged.splitlines()[-1])
    assert last["step"] == 3
    assert all(np.isfinite(last[name]) for name in ("mel", "wave", "lines", "heard", "learnt", "phone", "pitch"))
    again = train_codec(corpus, tmp_path, steps=3, **sizes)  # nothing is left to do
    for name, value in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, msg=name)
    assert (tmp_path / "losses.jsonl").read_text() == logged


def test_a_phone_recognizer_learns_phones_and_hears_no_difference_where_there_is_none():
    torch.manual_seed(0)
    speech = speak(TEXT, SPEAKERS[1], STYLES["neutral"])
    samples = torch.from_numpy(speech.samples).float()[None] / 32768
    phones = torch.from_numpy(speech.phones).long()[None]
    recognizer = PhoneRecognizer()
    optimizer = torch.optim.AdamW(recognizer.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        loss = recognizer.learn(samples, phones)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    recognizer.requires_grad_(False)
    assert float(recognizer.distance(samples, samples)) == pytest.approx(0.0, abs=1e-5)
    muffled = torch.nn.functional.avg_pool1d(samples, 15, 1, 7)
    quiet = 0.9 * samples
    assert float(recognizer.distance(muffled, samples)) > 2 * float(recognizer.distance(quiet, samples)) > 0


def small_fields() -> dict:
    fields = model_fields()
    return fields | {"num_hidden_layers": 2}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(build_tokenizer(tuple(STYLES)), folder)
    return TextTokenizer(folder, CsmConfig.from_fields(small_fields()), tuple(STYLES))


@pytest.fixture
def utterances() -> Utterances:
    random = np.random.default_rng(0)
    items = [
        Item(n, f"Sentence {n}, said in {style}.", speaker, speaker, SPEAKERS[speaker], style)
        for n, (speaker, style) in enumerate((s, style) for s in (0, 1) for style in ("neutral", "sad") for _ in "ab")
    ]
    frames = random.integers(8, 20, len(items))
    starts = np.concatenate(([0], np.cumsum(frames)))
    codes = random.integers(1, 512, (starts[-1], 8)).astype(np.uint16)
    return Utterances(items, codes, np.zeros((starts[-1], 2), np.uint8), starts)


def documents_of(row) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in range(row.document.max() + 1):
        inside = row.document == number
        yield row.text[inside], row.codes[inside]


def test_documents_are_laid_out_as_prompts_are(utterances: Utterances, tokenizer: TextTokenizer):
    writer = Writer(utterances, tokenizer, range(len(utterances)))
    documents, row = writer.documents(7), next(writer.rows(512, 7))
    seen = 0
    for (text, codes), segments in zip(documents_of(row), documents, strict=False):
        parts = []
        for ids, number in segments:
            start, stop = (0, 0) if number is None else utterances.starts[number : number + 2]
            parts.append((ids, utterances.codes[start:stop].astype(np.int64), number))
        wanted = np.concatenate([np.r_[ids, [NO_TEXT] * (len(a) + (n is not None))] for ids, a, n in parts])
        assert (text == wanted).all()
        last = parts[-1]
        assert (codes[-len(last[1]) - 1 : -1] == last[1]).all()
        assert (codes[-1] == END_CODE).all()
        seen += 1
    assert seen > 1
    item = utterances.items[2]
    prompt = build_prompt(
        tokenizer, 8, text=item.text, speaker=0, style="sad",
        context=[Segment(0, "Sentence 0, said in neutral.", utterances.codes[: utterances.starts[1]].astype(np.int64))],
    )  # fmt: skip
    context = np.asarray(tokenizer.encode_segment("Sentence 0, said in neutral.", 0), np.int64)
    assert (prompt.text[: len(context)] == context).all()
    own = tokenizer.encode_segment(item.text, 0, "sad")
    assert (prompt.text[-len(own) :] == own).all()


def test_a_document_does_not_hear_its_neighbours(utterances: Utterances, tokenizer: TextTokenizer):
    row = next(Writer(utterances, tokenizer, range(len(utterances))).rows(512, 3))
    learner = Learner(new_model(CsmConfig.from_fields(small_fields()), CPU, 0)).eval()
    batch = {name: torch.from_numpy(value)[None] for name, value in vars(row).items()}
    inside = row.document == 1
    assert inside.any()
    alone = {name: value[:, torch.from_numpy(inside)] for name, value in batch.items()}
    others = torch.from_numpy(row.document != 1)[None]
    changed = batch | {
        "codes": torch.where(others[..., None], (batch["codes"] + 5) % 500, batch["codes"]),
        "document": torch.where(others, -1, batch["document"]),
    }
    with torch.no_grad():
        together = learner(changed, most_depth_frames=None)
        by_itself = learner(alone, most_depth_frames=None)
    for name in ("first", "depth"):
        assert float(together[name]) == pytest.approx(float(by_itself[name]), abs=1e-4)


def test_a_model_learns_and_is_served_as_it_was_trained(
    utterances: Utterances, tokenizer: TextTokenizer, tmp_path: Path
):
    row = next(Writer(utterances, tokenizer, range(len(utterances))).rows(256, 1))
    batch = {name: torch.from_numpy(value)[None] for name, value in vars(row).items()}
    torch.manual_seed(0)
    model = new_model(CsmConfig.from_fields(model_fields()), CPU, 0)
    learner = Learner(model).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = learner(batch, most_depth_frames=64)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1
    export_csm(model, tmp_path)
    loaded = load_csm(tmp_path)
    assert loaded.card.styles == tuple(STYLES)
    assert loaded.card.trained
    for (name, ours), theirs in zip(model.named_parameters(), loaded.model.parameters(), strict=True):
        factor = SHARPNESS if name in {"first_head", "depth_heads"} else 1
        torch.testing.assert_close(theirs.float(), ours.detach() * factor, atol=1e-3, rtol=1e-3)


def test_transformers_loads_model_and_tokenizer(tmp_path: Path):
    export_csm(new_model(CsmConfig.from_fields(model_fields()), CPU, 0), tmp_path)
    model: Any = transformers.CsmForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.config.num_hidden_layers == json.loads((tmp_path / "config.json").read_text())["num_hidden_layers"]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = load_csm(tmp_path).tokenizer
    text = "[3]H\u00e9llo \u2013 it\u2019s 7 o\u2019clock\u2026"
    assert theirs(text, add_special_tokens=False).input_ids == ours.encode_segment(text.removeprefix("[3]"), 3)[1:-1]
    transliterated = ours.encode_segment("Ni", 3)
    assert ours.encode_segment("\u4f60", 3) == transliterated, "a letter that it would drop is transliterated"
    assert theirs.decode(ours.encode_segment("It's fine.", 3)[1:-1]) == "[3]it's fine."


def test_a_style_token_is_one_token(tokenizer: TextTokenizer):
    plain, sad = tokenizer.encode_segment("Well.", 2), tokenizer.encode_segment("Well.", 2, "sad")
    assert len(sad) == len(plain) + 1
    assert sorted(set(sad) - set(plain)) == [build_tokenizer(tuple(STYLES)).token_to_id("<|sad|>")]
