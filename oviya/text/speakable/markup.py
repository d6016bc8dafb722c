"""Removes Markdown and HTML."""

from __future__ import annotations

import html
import re

from oviya.text.speakable.directions import without_directions
from oviya.text.speakable.latex import say_formulas
from oviya.text.speakable.tokens import without_control_tokens
from oviya.text.speakable.words import ordinal

_FENCE = re.compile(r"(?m)^[ \t]*+(?:`{3,}|~{3,})[ \t]*+[\w+#.-]*+[ \t]*+$|`{3,}\w*+")
_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]++)\1(?!`)")
_IMAGE_OR_LINK = re.compile(
    r"!?\[([^\[\]\n]*+)\]\((?:<[^<>\n]*+>|[^()\s]*+(?:\([^()\s]*+\)[^()\s]*+)*+)(?:\s++[\"'][^\"'\n]*+[\"'])?\s*+\)"
)
_REFERENCE_LINK = re.compile(r"\[([^\[\]\n]++)\]\[[^\[\]\n]{0,60}\]")
_FOOTNOTE = re.compile(
    r"\[\^[^\[\]\s]{1,40}\]:?|\[\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3}){0,8}\]|\[citation needed\]"
    r"|\u3010[^\u3010\u3011]{1,40}\u3011"
)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:|www\.)[^<>\s]++|[\w.+-]{1,64}@[\w.-]{1,253})>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--(?:[^-]|-(?!->))*+-->")
_ELEMENTS = (
    "a|abbr|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|dd|del|details|dfn|div|dl|dt|em"
    "|figure|font|footer|form|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|label|li|main|mark|nav|ol|p|pre|q|s|samp"
    "|script|section|small|span|strike|strong|style|sub|summary|sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|var"
    "|video|wbr|speak|prosody|emphasis|break|say-as|phoneme|audio|voice|amazon:[a-z-]+|mstts:[a-z-]+|think|thinking"
    "|answer|response|output|result|speech|text|tool|function"
)
_TAG = re.compile(rf"</?(?:{_ELEMENTS})(?:\s[^<>]{{0,200}})?/?>|</[a-zA-Z][\w:-]{{0,40}}>|<[a-zA-Z][\w:-]{{0,40}}\s?/>"
                  r"|<[a-zA-Z][\w:-]{0,40}(?:\s[\w:-]{1,40}=(?:\"[^\"<>]{0,200}\"|'[^'<>]{0,200}')){1,12}\s?/?>",
                  re.IGNORECASE)  # fmt: skip
_HEADING = re.compile(r"\s{0,3}#{1,6}\s++(?=\S)")
_QUOTE = re.compile(r"(?<!\s)\s*+(?:>\s?)++(?=\D|$)")
_BULLET = re.compile(r"(?<!\s)\s*+(?:[-*+]\s++|[\u2022\u2023\u25aa\u25cf\u25e6\u00b7]\s*+)(?=\S)(?!\d+ *[-+*=])")
_BOX = re.compile(r"\[[ xX]\]\s++")
_LETTERED = re.compile(r"\A\s*+([A-Za-z])\) (?=\S)")
_NUMBERED = re.compile(r"(?<!\s)\s*+(\d{1,2})([.)])\s++(?=\S)")
_DEFINITION = re.compile(r"(?<!\s)\s*+\[[^\[\]\n]{1,60}\]:\s++\S++(?:\s++\"[^\"\n]*+\")?\s*+$")
_STRONG = re.compile(r"\*\*\*|\*\*|__(?=\S)|(?<=\S)__|~~|\|\||==(?=\w[^=\n]{0,200}==)|(?<=\w)==(?!\s?[\w=-])")
_EMPHASIS = re.compile(
    r"(?<![\w*])\*(?![\s*])([^*\n]++)(?<!\s)\*(?![\w*])|(?<![\w_])_(?![\s_])([^_\n]++)(?<!\s)_(?![\w_])"
)
_IN_WORD = re.compile(r"(?<=[^\W\d_])\*(?![\s*])([^\W\d_]{1,40})\*|\*(?![\s*])([^\W\d_]{1,40})\*(?=[^\W\d_])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!|~>$%&-])")
_BAR = re.compile(r"(?<!\s)\s*+\|\s*+")


def without_markup(text: str, *, numbered: bool = True) -> str:
    """Removes markup, control tokens and stage directions; if `numbered`, a list item's number becomes "First,"."""
    text = without_control_tokens(text)
    if "&" in text:
        text = html.unescape(text)
    text = _CODE.sub(_code, _FENCE.sub("", text))
    if "<" in text:
        text = _AUTOLINK.sub(r"\1", _COMMENT.sub(" ", text))
    text = "\n".join(line for line in (_line(line, numbered) for line in text.split("\n")) if line is not None)
    if "[" in text:
        text = _FOOTNOTE.sub("", _REFERENCE_LINK.sub(r"\1", _IMAGE_OR_LINK.sub(r"\1", text)))
    if "<" in text:
        text = _TAG.sub(_without_tag, text)
    if numbered:
        text = say_formulas(text)
    text = without_directions(text)
    text = _EMPHASIS.sub(lambda at: at[1] or at[2], _STRONG.sub("", text))
    text = _IN_WORD.sub(lambda at: at[1] or at[2], text)
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _code(at: re.Match[str]) -> str:
    """The text of a code span, which contains no markup."""
    return re.sub(r"</?([A-Za-z][\w-]{0,40})/?>", r" \1 ", at[2]).replace("*", " ").strip()


def _line(line: str, numbered: bool) -> str | None:
    """Removes the markup at the beginning of a line; None: the line consists of markup."""
    if not line.strip() or line.isalnum():
        return line
    signs = set(line) - set(" \t")
    if signs and signs <= set("-|:=*_~+") and len(line.strip()) > 1 and not signs <= set("+"):
        return None  # a horizontal rule, or the line below the head of a table
    if _DEFINITION.match(line):
        return None
    stripped = line.lstrip()
    if stripped[0] == "|" or stripped[-1:] == "|":
        line = line.strip().strip("|").strip()
    quote = _QUOTE.match(line)
    if quote:
        line = line[quote.end() :]
    heading = _HEADING.match(line)
    if heading:
        line = line[heading.end() :].rstrip("# ")
    bullet = _BULLET.match(line)
    if bullet:
        line = _BOX.sub("", line[bullet.end() :], count=1)
    if numbered:
        line = _LETTERED.sub(r"\1, ", line)
    item = _NUMBERED.match(line)
    if item:
        line = f"{ordinal(int(item[1])).capitalize()}, {line[item.end() :]}" if numbered else line
    return _BAR.sub(", ", line) if numbered or "|" in stripped[1:-1] else line


def _without_tag(at: re.Match[str]) -> str:
    name = at[0].strip("</>").split()[0].lower() if at[0].strip("</> ") else ""
    return "" if name in ("b", "i", "em", "strong", "u", "span", "a", "mark", "small", "sup", "sub") else " "
