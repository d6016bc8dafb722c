"""Removes emoji and emoticons next to words, and names them if there are no words."""

from __future__ import annotations

import re

import emoji

_EMOTICONS = {
    ":)": "smile", ":-)": "smile", "=)": "smile", ":]": "smile", ":D": "big smile", ":-D": "big smile",
    "=D": "big smile", "xD": "laughing", "XD": "laughing", ";)": "wink", ";-)": "wink", ":(": "sad face",
    ":-(": "sad face", "=(": "sad face", ":'(": "crying", ":P": "tongue out", ":-P": "tongue out", ":p": "tongue out",
    ":-p": "tongue out", ":O": "surprised", ":o": "surprised", ":-O": "surprised", ":-o": "surprised", ":/": "unsure",
    ":-/": "unsure", ":|": "neutral face", ":-|": "neutral face", ":*": "kiss", ":-*": "kiss", "<3": "heart",
    "</3": "broken heart", "^_^": "happy face", "^^": "happy face", "-_-": "annoyed", "o_O": "confused",
    "O_o": "confused", "T_T": "crying", ">:(": "angry face",
    "(\u256f\u00b0\u25a1\u00b0)\u256f\ufe35 \u253b\u2501\u253b": "table flip",
}  # fmt: skip
_EMOTICON = re.compile(
    r"(?<![\w])(?:" + "|".join(re.escape(sign) for sign in sorted(_EMOTICONS, key=len, reverse=True)) + r")(?![\w])"
)
_LOVE = re.compile(r"(?<=\w )(?:<3|\u2764\ufe0f?|\u2665\ufe0f?)(?= \w)")
"""A heart between words is a word: "I <3 you"."""
_KEYCAP = re.compile("([0-9#*])\ufe0f?\u20e3")
_STARS = re.compile("[\u2605\u2606\u2b50]{2,10}")
_MARKS = str.maketrans({
    "\u00a9": " copyright ", "\u00ae": " registered ", "\u2122": " trademark ", "\u2120": " service mark ",
    "\u2194": " to and from ", "\u21d4": " if and only if ", "\u2139": " ", "\u00b6": " paragraph ",
})  # fmt: skip
"""Signs that Unicode counts as emoji but that are spoken."""
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
