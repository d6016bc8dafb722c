"""Verbalizes what is read digit by digit: codes, telephone numbers, room and flight numbers."""

from __future__ import annotations

import re

from oviya.text.speakable.words import digits, in_pairs

_SPELLED = (
    "code|codes|pin|pins|otp|passcode|passcodes|password|passwort|zip|zip code|zipcode|postcode|postal code|extension"
    "|account|confirmation|verification|reference|tracking|serial|id|imei|iban|ssn|isbn|login|combination|meter"
    "|ending in|ending with|ends in|ends with|last four digits|last four|area code|country code|license plate"
    "|registration|vin"
)
"""Words before a number that is spelled, whatever its length."""
_LONG = (
    "room|rooms|suite|flight|flights|bus|route|gate|order|ticket|case|invoice|channel|apartment|apt|locker|train|platform"
    "|unit|model|booking|customer|policy|claim|badge|number|no"
)
"""Words before a number that is spelled from three digits on."""
_TOKEN = (
    r"(?:[A-Z]{1,4}[ -]?)?\d[\dA-Z]{1,24}(?:[ -](?=[\dA-Z]{0,6}\d)[\dA-Z]{2,6}){0,5}(?:-(?-i:[A-Z]{1,4}))?"
    r"(?![\w$\u20ac\u00a3%]|[.,:/-]\d)"
)
_MORE = r"(?:(?:,?\s(?:or|and|then)\s|,\s)\d{3,8}(?![\w%]|[.,:/]\d)){0,8}"
_LINK = (
    r"(?:\s(?:number|numbers|no\.|nr\.|is|was|are|be|of|to|for|\w{1,20}\sis"
    r"|\w{1,20}\s\w{1,20}\sis)){0,2}\s?[:=#\u2116]?\s?"
)
_CODE = re.compile(rf"\b((?:{_SPELLED})\b{_LINK}[\"'(\u201c*]?)({_TOKEN}{_MORE})", re.IGNORECASE)
_NUMBERED = re.compile(
    rf"\b((?:{_LONG})\b(?:\s(?:number|no\.|is|was))?\s?[:#\u2116]?\s?)({_TOKEN}{_MORE})", re.IGNORECASE
)
_IS_CODE = re.compile(
    r"(?<![\w.,$\u20ac\u00a3])(\d[\dA-Z]{2,9})(?=\s(?:is|as)\s(?:your|the|my|our|his|her|a)\s(?:\w{1,20}\s){0,3}?"
    r"(?:code|pin|otp|password|passcode|number)\b)",
    re.IGNORECASE,
)
_ENTER = re.compile(
    r"\b((?:enter|type in|type|key in|punch in|press)\s)(\d{3,10})(?![\w%]|[.,:/]\d)(?!\s\w{1,20}s\b)", re.IGNORECASE
)
_CALL = re.compile(
    r"\b((?:call|calling|called|dial|dialing|dialling|text|texting|phone|ring|sms|whatsapp|(?:text|send)\s\w{1,15}\sto)\s"
    r"(?:us\s)?(?:at\s|on\s)?)(\d{3,15}(?:(?:,?\s(?:or|and)\s|,\s|/)\d{3,8}){0,8})(?![\w%]|[.,:/-]?\d)"
    r"(?=\s?(?:$|[^\w\s]|(?:or|and|now|if|for|to|from|when|right|immediately|in|at|on|as|anytime|any|free|today|toll|then"
    r"|before|after|with|because|instead|until|straight|directly|again|please|24|whenever|while|and|during|right|who)\b))",
    re.IGNORECASE,
)
_EMERGENCY = re.compile(
    r"(?<![\w.,$\u20ac\u00a3:/-])(911|988|112|999|000|111|101|311|411|811|116 ?123|741741)(?![\w%]|[.,:/-]\d)"
)
_EMERGENCY_CONTEXT = re.compile(
    r"\b(?:call|dial|text|emergency|hotline|lifeline|helpline|crisis|operator|dispatch\w{0,5}|police|ambulance|samaritans)\b",
    re.IGNORECASE,
)
_FLIGHT = re.compile(r"\b([Ff]lights?\s|[Aa]board\s)([A-Z]{2}|[A-Z]\d|\d[A-Z])\s?-?(\d{1,4})\b")
_STATE_ZIP = re.compile(r"(?<=, )([A-Z]{2}) (\d{5})(?:-(\d{4}))?(?![\w.,-]*\d)")
_VANITY = re.compile(r"(?<![\w-])(\+?1)-(\d{3})-((?=[A-Z-]{4})[A-Z]+(?:-[A-Z]+)*)(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,4})?\b(?=\W|$)")
_MAC = re.compile(r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b")
_EXTENSION = re.compile(r"(?:(?<=\d[-. ]\d{4})|(?<=\d{7}))\sx\s?(\d{2,6})\b|\b[Ee]xt\.?\s?(\d{2,6})\b")
_CODE_POINT = re.compile(r"\b([Uu])\+([0-9A-Fa-f]{4,6})\b")
_MODEL = re.compile(
    r"\b(Boeing|Airbus A?|Porsche|Peugeot|Highway|Route|Interstate|Area) ?(?!\d00\b)(\d{3})\b(?![.,]\d)"
)
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"(?<![\w.+])\+(?=\d)(?:[ .\-/]?+\(?+\d{1,5}+\)?+){1,8}+(?![\w]|[.,]\d)")
_TRUNK = re.compile(r"\(0\)[ ./-]?")
_NATIONAL = re.compile(
    r"(?<![\w.,$\u20ac\u00a3#/+:-])(?:\(\d{2,5}\)\s?|\d{1,5}[ .\-/])(?:\d{2,5}+[ .\-]){0,4}\d{2,6}(?![\w%]|[.,:/-]\d"
    r"|\s?[=+*\u00d7])"
)
_GROUPED = re.compile(r"(?<![\w.,-])\d{1,7}(?:-\d{1,7}){3,5}(?![\w-])")
_PHONE_CONTEXT = re.compile(
    r"\b(?:call|phone|number|tel|telephone|dial|reach|text|mobile|cell|fax|ring|contact)\b|\u260e", re.IGNORECASE
)
_PLURAL = re.compile(r"\s(?!(?:is|was|as|expires|always|has|this|yes|works)\b)[a-z]{2,20}s\b")


def say_codes(text: str) -> str:
    """Verbalizes codes, which are recognized by the words next to them: "Your code is 4821." """
    if not any(map(str.isdigit, text)):
        return text
    text = _UUID.sub(lambda at: _spelled(at[0]), text)
    text = _CODE_POINT.sub(lambda at: f"U plus {_spelled(at[2])}", text)
    text = _MODEL.sub(lambda at: f"{at[1].strip()} {in_pairs(at[2])}", text)
    text = _MAC.sub(lambda at: _spelled(at[0]), text)
    text = _EXTENSION.sub(lambda at: f"{' ' if at[1] else ''}extension {digits(at[1] or at[2])}", text)
    text = _IBAN.sub(lambda at: _spelled(at[0]), text)
    text = _FLIGHT.sub(lambda at: f"{at[1]}{_spelled(at[2])} {digits(at[3])}", text)
    text = _STATE_ZIP.sub(lambda at: f"{' '.join(at[1])} {digits(at[2])}{', ' + digits(at[3]) if at[3] else ''}", text)
    text = _CALL.sub(lambda at: at[1] + _each(at[2]), text)
    text = _CODE.sub(_say_code, text)
    text = _NUMBERED.sub(_say_numbered, text)
    text = _IS_CODE.sub(lambda at: _spelled(at[1]), text)
    text = _ENTER.sub(lambda at: at[1] + digits(at[2]), text)
    if _EMERGENCY_CONTEXT.search(text):
        text = _EMERGENCY.sub(lambda at: digits(at[0].replace(" ", "")), text)
    return text


def say_phones(text: str) -> str:
    """Verbalizes telephone numbers, card numbers and other groups of digits."""
    if not any(map(str.isdigit, text)):
        return text
    text = _VANITY.sub(lambda at: f"{digits(at[1].lstrip('+'))}, {digits(at[2])}, {at[3].replace('-', ' ')}", text)
    text = _INTERNATIONAL.sub(_say_international, text)
    text = _GROUPED.sub(lambda at: _groups(at[0]) if sum(map(str.isdigit, at[0])) >= 9 else at[0], text)
    context = bool(_PHONE_CONTEXT.search(text))
    return _NATIONAL.sub(lambda at: _say_national(at[0], context=context), text)


def _say_code(at: re.Match[str]) -> str:
    if _PLURAL.match(at.string, at.end()) or sum(map(str.isdigit, at[2])) < 2:
        return at[0]
    return at[1] + _each(at[2])


def _say_numbered(at: re.Match[str]) -> str:
    if at[1].strip().lower() in ("no", "number") and not re.match(
        r"\s?(?:[.,;:!?)]|is\b|$)", at.string[at.end() : at.end() + 4]
    ):
        return at[0]
    longest = max(map(len, re.findall(r"\d+", at[2])))
    if longest < 3 or _PLURAL.match(at.string, at.end()):
        return at[0]
    return at[1] + _each(at[2])


def _each(tokens: str) -> str:
    """Spells every word with a digit, and capital letters before digits."""
    return re.sub(
        r"(?<![\dA-Za-z])[A-Za-z]{0,26}+\d[\dA-Za-z]*+|(?<![A-Z])[A-Z]{1,4}(?=[ -]?\d)|(?<=\d-)[A-Z]{1,4}(?!\w)",
        lambda at: f"{_spelled(at[0])}",
        tokens,
    ).replace("-", ", ")


def _spelled(code: str) -> str:
    """Spells letters and digits; groups are separated by commas."""
    groups = re.findall(r"[A-Za-z0-9]+", code)
    return ", ".join(" ".join(digits(sign) if sign.isdigit() else sign.upper() for sign in group) for group in groups)


def _groups(number: str) -> str:
    return ", ".join(digits(group) for group in re.findall(r"\d+", number))


def _say_international(at: re.Match[str]) -> str:
    count = sum(map(str.isdigit, at[0]))
    if not 7 <= count <= 15:
        return at[0]
    trailing = at[0][len(at[0].rstrip(" .-/(")) :]
    # "+49 (0)30": the digit in parentheses belongs to the national area code.
    return f"plus {_groups(_TRUNK.sub('0', at[0]))}{trailing}"


def _say_national(written: str, *, context: bool) -> str:
    groups = re.findall(r"\d+", written)
    sizes, count = [len(group) for group in groups], sum(map(len, groups))
    if not 7 <= count <= 19:
        return written
    hyphens, zero = "-" in written or "(" in written, groups[0][0] == "0"
    if len(groups) == 2:
        is_phone = (sizes == [3, 4] and (hyphens or context)) or zero or "(" in written
    elif set(sizes) == {4} and count == 16:
        is_phone = True
    else:
        thousands = " " in written and not hyphens and set(sizes[1:]) == {3} and not zero
        is_phone = not thousands and (hyphens or zero or context or sizes[-3:] == [3, 3, 4])
    return _groups(written) if is_phone else written
