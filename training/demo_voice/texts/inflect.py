"""English inflection for the word lists: plurals, verb forms, comparison, and the article before a word.

Regular forms follow spelling rules; `compared_by_ending.txt` lists the adjectives that take -er and -est (the others
take more and most); the rest is in `irregular.txt`, whose lines are `noun WORD PLURAL` or
`verb WORD PAST PARTICIPLE`, or `double WORD` for a verb of several syllables that doubles its last consonant.
"""

import re
from functools import cache
from pathlib import Path

FORMS = ("", "s", "does", "ing", "past", "done", "er", "est")
_VOWELS = "aeiou"
# Spelled with a vowel, spoken with a consonant (you, won) - and vice versa.
_CONSONANT_SOUND = re.compile(r"(?:uni(?!n|m)|us[aeiu]|usu|eu|ewe|one\b|once\b|uk|ut[eio]|u\b|ubi|ura)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"(?:hour|honest|honou?r|heir|x-ray|8|11\b|18\b)", re.IGNORECASE)
_ARTICLE = re.compile(r"\b([Aa])n?(?= [\"']?([A-Za-z0-9'-]+))(?![\w'-])")


@cache
def _irregular() -> tuple[dict[str, str], dict[str, tuple[str, str]], frozenset[str]]:
    nouns: dict[str, str] = {}
    verbs: dict[str, tuple[str, str]] = {}
    doubled: set[str] = set()
    for line in (Path(__file__).parent / "irregular.txt").read_text(encoding="ascii").splitlines():
        match line.split():
            case ["noun", word, plural]:
                nouns[word] = plural
            case ["verb", word, past, participle]:
                verbs[word] = (past, participle)
            case ["double", *words]:
                doubled.update(words)
            case _:
                raise ValueError(f"irregular.txt: cannot read the line {line!r}")
    return nouns, verbs, frozenset(doubled)


def _doubles(word: str) -> bool:
    """Whether the last consonant doubles before -ed, -ing, -er and -est (stop, stopped)."""
    if word in _irregular()[2]:
        return True
    return bool(re.fullmatch(r"(?:qu|[^aeiou])*[aeiou][^aeiouwxy]", word))


def with_s(word: str) -> str:
    """Returns the regular -s form: a noun's plural, or a verb's third person."""
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return word[:-1] + "ies"
    if word in {"go", "do", "undo", "redo", "echo", "veto"}:
        return word + "es"
    return word + "s"


def plural(noun: str) -> str:
    head, _, last = noun.rpartition(" ")
    if last.endswith("man") and last not in {"human", "talisman", "shaman"}:
        changed = last[:-2] + "en"
    else:
        changed = _irregular()[0].get(last) or with_s(last)
    return f"{head} {changed}".strip()


def _with_suffix(word: str, suffix: str) -> str:
    """Returns the stem of a word before -ed, -er or -est."""
    if word.endswith("e"):
        return word + suffix[1:]
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return word[:-1] + "i" + suffix
    return word + (word[-1] if _doubles(word) else "") + suffix


def present_participle(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not re.search(r"(?:ee|oe|ye|inge)$", verb) and verb != "be":
        return verb[:-1] + "ing"
    if verb.endswith("ic"):
        return verb + "king"
    return verb + (verb[-1] if _doubles(verb) else "") + "ing"


def past(verb: str) -> str:
    return _irregular()[1][verb][0] if verb in _irregular()[1] else _regular_past(verb)


def past_participle(verb: str) -> str:
    return _irregular()[1][verb][1] if verb in _irregular()[1] else _regular_past(verb)


def _regular_past(verb: str) -> str:
    return verb + "ked" if verb.endswith("ic") else _with_suffix(verb, "ed")


def third_person(verb: str) -> str:
    return {"have": "has", "be": "is"}.get(verb) or with_s(verb)


@cache
def _compared_by_ending() -> frozenset[str]:
    return frozenset((Path(__file__).parent / "compared_by_ending.txt").read_text(encoding="ascii").split())


def compare(adjective: str, suffix: str) -> str:
    """The comparative ("er") or superlative ("est"), with more and most before long adjectives."""
    irregular = {"good": ("better", "best"), "bad": ("worse", "worst"), "far": ("farther", "farthest")}
    if adjective in irregular:
        return irregular[adjective][suffix == "est"]
    if adjective in _compared_by_ending():
        return _with_suffix(adjective, suffix)
    return f"{'more' if suffix == 'er' else 'most'} {adjective}"


def inflect(word: str, form: str) -> str:
    """A list entry in one of `FORMS`; in an entry of several words the verb comes first, the noun last."""
    if form in {"", "s"}:
        return plural(word) if form else word
    if form in {"er", "est"}:
        return compare(word, form)
    verb, space, rest = word.partition(" ")
    change = {"does": third_person, "ing": present_participle, "past": past, "done": past_participle}[form]
    return change(verb) + space + rest


def fix_articles(text: str) -> str:
    """Makes every `a` or `an` agree with the sound of the next word."""

    def article(match: re.Match[str]) -> str:
        word = match.group(2)
        vowel = word[0].lower() in _VOWELS and not _CONSONANT_SOUND.match(word)
        return match.group(1) + ("n" if vowel or _VOWEL_SOUND.match(word) else "")

    return _ARTICLE.sub(article, text)
