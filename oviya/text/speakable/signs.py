"""Verbalizes signs and abbreviations."""

from __future__ import annotations

import re
import unicodedata

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "Prof": "Professor", "Gov": "Governor", "Sen": "Senator",
    "Rep": "Representative", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant",
    "Sgt": "Sergeant", "Rev": "Reverend", "Hon": "Honorable", "Pres": "President", "Adm": "Admiral", "Maj": "Major",
    "Cmdr": "Commander", "Mt": "Mount", "Ft": "Fort",
}  # fmt: skip
_TITLE = re.compile(rf"\b({'|'.join(_TITLES)})\.(?=\s[A-Z])")
_SAINT = re.compile(r"(?:(?<=^)|(?<=[a-z,;:(\"] )|(?<=[.!?] ))St\.(?=\s[A-Z][a-z])")
_STREET = re.compile(r"(?<=[a-z] )(St|Ave|Blvd|Rd|Ln|Hwy)\.?(?= ?(?:[,;]|$|[.!?])|\s(?:and|in|at|near|to|is|was|on)\b)")
_STREETS = {"St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane", "Hwy": "Highway"}
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\be\.\s?g\.,?", re.IGNORECASE), "for example,"),
    (re.compile(r"\bi\.\s?e\.,?", re.IGNORECASE), "that is,"),
    (re.compile(r"(?<!slash )\betc\.(?= [a-z,])", re.IGNORECASE), "et cetera"),
    (re.compile(r"(?<!slash )\betc\b", re.IGNORECASE), "et cetera"),
    (re.compile(r"\bet al\b\.?"), "and others"),
    (re.compile(r"\bvs\.?(?!\w)", re.IGNORECASE), "versus"),
    (re.compile(r"\bapprox\.", re.IGNORECASE), "approximately"),
    (re.compile(r"\bFig\.(?=\s\w)"), "Figure"),
    (re.compile(r"\bVol\.(?=\s\w)"), "Volume"),
    (re.compile(r"\bpp\.(?=\s\w)"), "pages"),
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"\bw/(?=\s)"), "with"),
    (re.compile(r"\b[nN]/[aA]\b"), "not applicable"),
    (re.compile(r"\bc/o\b"), "care of"),
    (re.compile(r"\bb/c\b"), "because"),
    (re.compile(r"\bApt\.(?=\s\w)"), "Apartment"),
    (re.compile(r"\b([fgh])\(([a-z])\)"), r"\1 of \2"),
    (re.compile(r"\ba/c\b", re.IGNORECASE), "A C"),
    (re.compile(r"\band/or\b"), "and or"),
    (re.compile(r"\bC\+\+(?!\w)"), "C plus plus"),
    (re.compile(r"\b([A-GJ])#(?!\w)"), r"\1 sharp"),
    (re.compile(r"\b([A-G])\u266f"), r"\1 sharp"),
    (re.compile(r"\b([A-G])\u266d"), r"\1 flat"),
)
_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=[^\W\d_])/(?=[^\W\d_])"), " or "),
    (re.compile(r"(?<=\w)_(?=\w)"), " "),
    (re.compile(r" ?(?:<->|<=>|\u21c4|\u27f7) ?"), " to and from "),
    (re.compile(r" ?(?:-->|->|=>|\u2192|\u21d2|\u27f6|\u279c|\u2794) ?"), ", then "),
    (re.compile(r" ?(?:\u2190|<--|<-(?=\s)) ?"), ", from "),
    (re.compile(r" ?\u2191 ?"), " up "),
    (re.compile(r" ?\u2193 ?"), " down "),
    (re.compile(r" ?(?:!==?|\u2260) ?"), " does not equal "),
    (re.compile(r" ?(?:<=|\u2264|\u2a7d) ?"), " at most "),
    (re.compile(r" ?(?:>=|\u2265|\u2a7e) ?"), " at least "),
    (re.compile(r" ?(?:\u2261) ?"), " is equivalent to "),
    (re.compile(r" ?(?<![=<>!])={1,3}(?![=<>]) ?(?=[\w\"'$(-])"), " equals "),
    (re.compile(r"(?<=\w)\s?\u2248\s?(?=\w)"), " is about "),
    (re.compile(r" ?\u00f7 ?"), " divided by "),
    (re.compile(r" ?\u00d7 ?"), " times "),
    (re.compile(r"(?<=\w) \* (?=\w)"), " times "),
    (re.compile(r"(?<=[\w)]) ?\+ (?=[\w(\u221a\u221b])|(?<=[\w)])\+(?=[\w(\u221a\u221b])"), " plus "),
    (re.compile(r"(?<=[\w)])\s?<\s?(?=[\w(])"), " less than "),
    (re.compile(r"(?<=[\w)])\s?>\s?(?=[\w(])"), " more than "),
    (re.compile(r" ?& ?"), " and "),
    (re.compile(r"[~\u2248\u223c](?=\s?\w)"), "about "),
    (re.compile(r"(?<=\w)\s?@\s?(?=\w)|(?<!\w)@(?=\s?\w)"), " at "),
    (re.compile(r"(?<=\w)\+(?!\w)"), " plus"),
    (re.compile(r"\u00a7\u00a7\s?"), "sections "),
    (re.compile(r"(?:\b[Ss]ection )?\u00a7\s?"), "section "),
    (re.compile(r"\u221a\s?\(?"), "the square root of "),
    (re.compile(r"\u221b\s?"), "the cube root of "),
    (re.compile(r"\u221e"), " infinity "),
    (re.compile(r"\u2211"), " the sum of "),
    (re.compile(r"\u220f"), " the product of "),
    (re.compile(r"\u222b"), " the integral of "),
    (re.compile(r"\u2202"), " partial "),
    (re.compile(r"\u2208"), " in "),
    (re.compile(r"\u2209"), " not in "),
    (re.compile(r"\u2229"), " intersection "),
    (re.compile(r"\u222a"), " union "),
    (re.compile(r"\u2200"), " for all "),
    (re.compile(r"\u2203"), " there exists "),
    (re.compile(r"\u00ac"), " not "),
    (re.compile(r"\u2227"), " and "),
    (re.compile(r"\u2228"), " or "),
    (re.compile(r"\u2234"), " therefore "),
    (re.compile(r"\u2030"), " per mille"),
    (re.compile(r"\u2116\s?"), "number "),
    (re.compile(r"\u2032"), " prime "),
    (re.compile(r"(?<=\w)\s?\^\s?(?=\w)"), " to the power of "),
    (re.compile(r"(?<=\w)\s?%(?!\w)"), " percent"),
    (re.compile(r"(?<!\w)%(?!\w)"), " percent "),
    (re.compile(r"(?<!\w)#(?!\w)"), " hash "),
    (re.compile(r"(?<=\w)\\(?=\w)"), " backslash "),
    (re.compile(r"(?<=\w)\s/\s(?=\w)"), " or "),
    (re.compile(r"(?<=\w)/(?=\w)"), " slash "),
    (re.compile(r"(?<![\w$])\$(?![\w$])"), " dollar "),
    (re.compile(r" ?[\u2014\u2013\u2015\u2e3a] ?| --? |(?<=\w)--(?=\w)"), ", "),
    (re.compile(r"[\[\]{}<>|\\^*_`#~=+$\u00a4\u2022\u00b7\u25cf]"), " "),
)
_GREEK = {
    "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma", "\u03b4": "delta", "\u03b5": "epsilon", "\u03b6": "zeta",
    "\u03b7": "eta", "\u03b8": "theta", "\u03b9": "iota", "\u03ba": "kappa", "\u03bb": "lambda", "\u03bc": "mu",
    "\u03bd": "nu", "\u03be": "xi", "\u03c0": "pi", "\u03c1": "rho", "\u03c3": "sigma", "\u03c4": "tau",
    "\u03c5": "upsilon", "\u03c6": "phi", "\u03c7": "chi", "\u03c8": "psi", "\u03c9": "omega", "\u0393": "gamma",
    "\u0394": "delta", "\u0398": "theta", "\u039b": "lambda", "\u03a0": "pi", "\u03a3": "sigma", "\u03a6": "phi",
    "\u03a8": "psi", "\u03a9": "omega", "\u2206": "delta", "\u00b5": "micro",
}  # fmt: skip
_SIGN = re.compile(r"[^A-Za-z0-9\s.,;:!?'\"()]")
"""Any character that the rules for signs may change; most sentences have none."""
_GREEK_LETTER = re.compile(f"(?<![\u0370-\u03ff])[{''.join(_GREEK)}](?![\u0370-\u03ff])")


def say_short_forms(text: str) -> str:
    """Expands titles and streets: "Dr. Smith" is "Doctor Smith"."""
    if "." not in text and not any(street in text for street in _STREETS):
        return text
    text = _TITLE.sub(lambda at: _TITLES[at[1]], text)
    text = _SAINT.sub("Saint", text)
    return _STREET.sub(
        lambda at: _STREETS[at[1]] + ("." if at[0].endswith(".") and at.end() == len(at.string) else ""), text
    )


def say_signs(text: str) -> str:
    """Verbalizes signs and abbreviations, and removes the other signs."""
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    if _SIGN.search(text) is None:
        return text
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    if text.isascii():
        return text
    text = _GREEK_LETTER.sub(_say_greek, text)
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("So", "Sk", "Sm"))


def _say_greek(at: re.Match[str]) -> str:
    """A Greek letter in Latin text, as in a formula."""
    before = " " if at.start() and at.string[at.start() - 1].isalnum() else ""
    after = " " if at.end() < len(at.string) and at.string[at.end()].isalnum() else ""
    return f"{before}{_GREEK[at[0]]}{after}"
