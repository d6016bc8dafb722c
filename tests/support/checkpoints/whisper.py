"""Tiny random checkpoints of Whisper and of wav2vec 2.0, in the layout that WhisperX loads."""

from __future__ import annotations

import itertools
import json
import shutil
import string
from pathlib import Path

PLAIN_TOKENS, TIMESTAMPS = 50_257, 1501
"""As in Whisper's multilingual models, which CTranslate2 recognizes by the size or by the empty plain token."""
MOST_TOKENS = 20
"""Maximum length of prompt and words together."""
END_PULL = 100.0


def write_whisper(folder: Path, *, seed: int = 0) -> Path:
    """Writes a Whisper model with one encoder and one decoder layer, converted for CTranslate2; it outputs a few
    made-up words."""
    import torch
    from ctranslate2.converters import TransformersConverter  # pyright: ignore[reportMissingImports]
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(seed)
    tokens = _tokens()
    config = WhisperConfig(
        vocab_size=len(tokens),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_mel_bins=80,
        max_target_positions=448,
        pad_token_id=tokens.index("<|endoftext|>"),
        bos_token_id=tokens.index("<|endoftext|>"),
        eos_token_id=tokens.index("<|endoftext|>"),
        decoder_start_token_id=tokens.index("<|startoftranscript|>"),
        suppress_tokens=[],
        begin_suppress_tokens=[tokens.index("<|endoftext|>")],
    )
    model = WhisperForConditionalGeneration(config)
    # From this position on the model outputs the end token; otherwise it would continue to the last position.
    end = 0.1 * torch.randn(config.d_model)
    model.model.decoder.embed_tokens.weight.data[config.eos_token_id] = end
    model.model.decoder.embed_positions.weight.data[MOST_TOKENS:] = END_PULL * end
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = [tokens.index("<|endoftext|>")]
    source = folder.with_name(folder.name + "-source")
    model.save_pretrained(source)
    _write_tokenizer(source, tokens)
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(folder), force=True)
    shutil.rmtree(source)
    # The converter finds the languages only if it has Whisper's own tokenizer.
    config_file = folder / "config.json"
    config_json = json.loads(config_file.read_text())
    config_json["lang_ids"] = [tokens.index(token) for token in _language_tokens()]
    config_file.write_text(json.dumps(config_json))
    return folder


def write_aligner(folder: Path, *, seed: int = 0) -> Path:
    """Writes a wav2vec 2.0 model with a CTC head over English letters."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_lowercase, "'"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def _language_tokens() -> list[str]:
    """Returns the tokens of the 99 languages, without Cantonese, which was added later."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return [f"<|{code}|>" for code in LANGUAGES if code != "yue"]


def _tokens() -> list[str]:
    """Returns the vocabulary in order of its ids: bytes, made-up words, Whisper's special tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *_language_tokens(),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ]
    plain = sorted(ByteLevel.alphabet())
    words = ("Ġ" + "".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=4))
    plain += [*itertools.islice(words, PLAIN_TOKENS - len(plain) - 1), ""]
    return [*plain, *special, *(f"<|{index * 0.02:.2f}|>" for index in range(TIMESTAMPS))]


def _write_tokenizer(folder: Path, tokens: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens if token.startswith("<|")])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
