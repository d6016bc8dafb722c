"""Converts text to token ids with the checkpoint's tokenizer.json."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from anyascii import anyascii
from tokenizers import Tokenizer

from oviya.errors import CheckpointError
from services.csm.model.config import CsmConfig

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
MAX_LETTERS = 10_000
"""Characters whose transliteration is cached."""


def style_token(style: str) -> str:
    """The token of a style, e.g. "<|calm|>": a checkpoint trained on styles has one for each style on its card."""
    return f"<|{style}|>"


class TextTokenizer:
    """Encodes the text of a segment: `BOS [speaker] style? text EOS`.

    Raises:
        CheckpointError: a file is missing or invalid, or does not fit the model's text vocabulary.
    """

    def __init__(self, folder: Path, config: CsmConfig, styles: tuple[str, ...] = ()) -> None:
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises a bare Exception, whatever is wrong
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        # "<|end_of_text|>" in a request is text, not a special token.
        self._tokenizer.encode_special_tokens = True
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        if size > config.text_vocabulary:
            raise CheckpointError(f"{path}: has {size} tokens, the model's text vocabulary {config.text_vocabulary}")
        self._letters: dict[str, str] = {}
        self._blank = self._tokenizer.encode(" ", add_special_tokens=False).ids
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown = self._tokenizer.token_to_id(unknown) if unknown else None
        named = _special_tokens(folder / TOKENIZER_CONFIG_FILE)
        self.bos_id = self._special_id("bos_token", named, config.bos_id, config)
        self.eos_id = self._special_id("eos_token", named, config.eos_id, config)
        self._style_ids = {style: self._style_id(style, path) for style in styles}

    def encode_segment(self, text: str, speaker: int, style: str = "") -> list[int]:
        """Token ids of a segment's text; `style` is listed by the card, or empty."""
        if style:
            ids = [*self._encode(f"[{speaker}]"), self._style_ids[style], *self._encode(text)]
        else:
            ids = self._encode(f"[{speaker}]{text}")
        return [self.bos_id, *ids, self.eos_id]

    def _encode(self, text: str) -> list[int]:
        if not text.isascii():
            text = "".join(c if c.isascii() else self._transliterate(c) for c in unicodedata.normalize("NFC", text))
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _transliterate(self, character: str) -> str:
        """`character`, or its Latin transliteration if the tokenizer would drop it."""
        written = self._letters.get(character)
        if written is None:
            if len(self._letters) >= MAX_LETTERS:
                self._letters.clear()
            ids = self._tokenizer.encode(character, add_special_tokens=False).ids
            dropped = character.isalpha() and (not ids or ids == self._blank or self._unknown in ids)
            written = self._letters[character] = anyascii(character) if dropped else character
        return written

    def _special_id(self, role: str, named: dict[str, str], from_config: int | None, config: CsmConfig) -> int:
        token = named.get(role)
        identity = from_config if token is None else self._tokenizer.token_to_id(token)
        if identity is None:
            raise CheckpointError(f"neither {TOKENIZER_CONFIG_FILE} nor config.json names a usable {role}")
        if not 0 <= identity < config.text_vocabulary:
            raise CheckpointError(f"{role} {identity} is outside the text vocabulary of {config.text_vocabulary}")
        return identity

    def _style_id(self, style: str, path: Path) -> int:
        identity = self._tokenizer.token_to_id(style_token(style))
        if identity is None:
            raise CheckpointError(f"{path}: lacks {style_token(style)}, the token of a style on the model's card")
        return identity


def _special_tokens(path: Path) -> dict[str, str]:
    """The tokens that tokenizer_config.json names, by role; a token is a string or an object with its `content`."""
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        tokens = {role: fields.get(role) for role in ("bos_token", "eos_token")}
        return {role: token["content"] if isinstance(token, dict) else token for role, token in tokens.items() if token}
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
