"""Verbalizes Roman numerals after words that make them unambiguous."""

from __future__ import annotations

import re

from oviya.text.speakable.words import cardinal, ordinal

_RULERS = (
    "Henry|Louis|Elizabeth|George|Charles|William|Edward|Richard|James|Philip|Philippe|Pius|Paul|Benedict|Napoleon"
    "|Nicholas|Catherine|Frederick|Friedrich|Leo|Gregory|Ramses|Ramesses|Alexander|Peter|Francis|Innocent|Urban|Clement"
    "|Otto|Ivan|Mary|Margaret|Felipe|Carlos|Juan|Ferdinand|Wilhelm|Gustav|Haakon|Harald|Christian|Leopold|Albert|Julius"
    "|Xerxes|Darius|Cyrus|Ptolemy|Cleopatra|Constantine|Theodosius|Justinian|Selim|Mehmed|Murad|Suleiman|Rama|Abdullah"
)
_PARTS = (
    "War|Chapter|Part|Act|Scene|Volume|Vol\\.|Book|Section|Article|Type|Phase|Stage|Class|Level|Grade|Appendix|Figure"
    "|Table|Title|Episode|Season|Bowl|Rocky|Mark|Apollo|Corps|Group|Unit|Lesson|Canto|Division|Schedule|Annex|Tier"
    "|Final "
    "Fantasy|Quest|Symphony|Amendment"
)
_NUMERAL = r"(?=[IVXLC]{1,7}\b)(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_RULER = re.compile(rf"\b({_RULERS})\s({_NUMERAL})\b(?!\.?\s?[A-Z]\.)")
_PART = re.compile(rf"\b({_PARTS})\s({_NUMERAL})\b")
_ALONE_I = re.compile(r"\s?(?:[.,;:!?)\u2013-]|$|of\b|and\b|was\b|is\b|began\b|ended\b|in\b|reigned\b|ruled\b)")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def say_roman_numerals(text: str) -> str:
    """Verbalizes the numerals of rulers and parts: "Henry VIII" is "Henry the eighth"."""
    text = _RULER.sub(lambda at: f"{at[1]} the {ordinal(_value(at[2]))}" if _is_numeral(at) else at[0], text)
    return _PART.sub(lambda at: f"{at[1]} {cardinal(str(_value(at[2])))}" if _is_numeral(at) else at[0], text)


def _is_numeral(at: re.Match[str]) -> bool:
    """Whether it is a numeral, not the pronoun "I"."""
    return at[2] != "I" or bool(_ALONE_I.match(at.string, at.end()))


def _value(numeral: str) -> int:
    values = [_VALUES[sign] for sign in numeral]
    return sum(-now if now < after else now for now, after in zip(values, [*values[1:], 0], strict=True))
