"""The demo CSM's text tokenizer: one token for each character that matters for speech.

Letters lose their accents and their case, and curly quotes and long dashes become plain ones; unknown characters become
blanks.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from services.csm.random_checkpoint import AUDIO_END_TOKEN, AUDIO_TOKEN, BOS_TOKEN, EOS_TOKEN
from services.csm.request.tokenizer import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, style_token

CHARACTERS = " abcdefghijklmnopqrstuvwxyz0123456789.,?!'-:;\"()[]&%$"
_PLAIN = {"[\u2018\u2019\u02bc`]": "'", "[\u201c\u201d\u00ab\u00bb]": '"', "[\u2010-\u2015]": "-", "\u2026": "..."}


def build_tokenizer(styles: tuple[str, ...]) -> Tokenizer:
    """The tokenizer, with a token for each style."""
    vocabulary = {character: number for number, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    kept = "".join("\\" + c if c in "[]-" else c for c in CHARACTERS)
    tokenizer.normalizer = normalizers.Sequence(
        [
            *(normalizers.Replace(Regex(pattern), plain) for pattern, plain in _PLAIN.items()),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(f"[^{kept}]"), " "),
            normalizers.Replace(Regex(" +"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    special = [BOS_TOKEN, EOS_TOKEN, AUDIO_TOKEN, AUDIO_END_TOKEN, *map(style_token, styles)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the files that the service and transformers' `AutoTokenizer` read."""
    tokenizer.save(str(folder / TOKENIZER_FILE))
    fields = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS_TOKEN,
        "eos_token": EOS_TOKEN,
        "pad_token": EOS_TOKEN,
    }
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The fields of config.json that name tokens."""
    tokens = tokenizer.get_vocab()
    return {
        "bos_token_id": tokens[BOS_TOKEN],
        "pad_token_id": tokens[AUDIO_TOKEN],
        "audio_token_id": tokens[AUDIO_TOKEN],
        "audio_eos_token_id": tokens[AUDIO_END_TOKEN],
    }
