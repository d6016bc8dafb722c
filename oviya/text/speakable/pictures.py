"""Removes emoji and emoticons next to words, and names them if there are no words."""

from __future__ import annotations

import re

import emoji

from oviya.text.tables import inverted, load_table

_TABLES = load_table("pictures")
_EMOTICONS = inverted(_TABLES["emoticons"])
_EMOTICON = re.compile(
    r"(?<![\w])(?:" + "|".join(re.escape(sign) for sign in sorted(_EMOTICONS, key=len, reverse=True)) + r")(?![\w])"
)
_LOVE = re.compile(r"(?<=\w )(?:<3|\u2764\ufe0f?|\u2665\ufe0f?)(?= \w)")
"""A heart between words is a word: "I <3 you"."""
_KEYCAP = re.compile("([0-9#*])\ufe0f?\u20e3")
_STARS = re.compile("[\u2605\u2606\u2b50]{2,10}")
_MARKS = str.maketrans(_TABLES["marks"])
_SPACE_BEFORE_STOP = re.compile(r" ([.!?,])")


def say_pictures(text: str) -> str:
    """Removes emoji and emoticons; if there is nothing else, returns their names."""
    text = _KEYCAP.sub(r"\1 ", text)
    text = _STARS.sub(lambda at: f" {at[0].count(chr(0x2605)) + at[0].count(chr(0x2B50))} stars ", text).translate(
        _MARKS
    )
    text = _LOVE.sub("love", text)
    words = _EMOTICON.sub(" ", text)
    if not text.isascii():
        words = emoji.replace_emoji(words, " ")
    if words == text:
        return text
    if any(sign.isalnum() for sign in words):
        # A stop after removed emoji moves to the words.
        return _SPACE_BEFORE_STOP.sub(r"\1", words)
    names = [_name(found["emoji"]) for found in emoji.emoji_list(text)]
    names = names or [_EMOTICONS[found] for found in _EMOTICON.findall(text)]
    return ", ".join(name for name in dict.fromkeys(names) if name)


def _name(sign: str) -> str:
    name = emoji.demojize(sign, delimiters=("", ""))
    if name == sign:
        return ""
    flag = len(sign) == 2 and all("\U0001f1e6" <= letter <= "\U0001f1ff" for letter in sign)
    said = name.replace("_", " ").replace("-", " ").strip()
    return f"flag of {said}" if flag else said
