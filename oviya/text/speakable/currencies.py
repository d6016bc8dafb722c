"""Currencies and their symbols."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Currency:
    """Names of a currency: singular and plural, and those of its hundredth part (empty: it has none)."""

    one: str
    many: str
    part: str = ""
    parts: str = ""


def _named(one: str, many: str = "", part: str = "", parts: str = "") -> Currency:
    return Currency(one, many or f"{one}s", part, parts or (f"{part}s" if part else ""))


_DOLLAR, _EURO, _POUND = (
    _named("dollar", part="cent"),
    _named("euro", part="cent"),
    _named("pound", part="penny", parts="pence"),
)
_KRONE, _KRONA, _PESO = _named("krone", "kroner"), _named("krona", "kronor"), _named("peso", part="centavo")
_RUPEE = _named("rupee", part="paisa", parts="paise")

CURRENCIES: dict[str, Currency] = {
    "$": _DOLLAR, "US$": _DOLLAR, "USD": _DOLLAR, "\u20ac": _EURO, "EUR": _EURO, "\u00a3": _POUND, "GBP": _POUND,
    "\u00a5": _named("yen", "yen"), "JPY": _named("yen", "yen"), "CN\u00a5": _named("yuan", "yuan"),
    "RMB": _named("yuan", "yuan"), "CNY": _named("yuan", "yuan"), "\u5143": _named("yuan", "yuan"),
    "\u5186": _named("yen", "yen"), "CHF": _named("franc", part="centime"), "SFr.": _named("franc", part="centime"),
    "Fr.": _named("franc", part="centime"), "\u20b9": _RUPEE, "INR": _RUPEE, "Rs.": _RUPEE, "Rs": _RUPEE,
    "PKR": _RUPEE, "A$": _named("Australian dollar", part="cent"), "AU$": _named("Australian dollar", part="cent"),
    "AUD": _named("Australian dollar", part="cent"), "C$": _named("Canadian dollar", part="cent"),
    "CA$": _named("Canadian dollar", part="cent"), "CAD": _named("Canadian dollar", part="cent"),
    "NZ$": _named("New Zealand dollar", part="cent"), "NZD": _named("New Zealand dollar", part="cent"),
    "HK$": _named("Hong Kong dollar", part="cent"), "HKD": _named("Hong Kong dollar", part="cent"),
    "S$": _named("Singapore dollar", part="cent"), "SGD": _named("Singapore dollar", part="cent"),
    "NT$": _named("Taiwan dollar"), "TWD": _named("Taiwan dollar"), "R$": _named("real", "reais", "centavo"),
    "BRL": _named("real", "reais", "centavo"), "MX$": _named("Mexican peso", part="centavo"),
    "MXN": _named("Mexican peso", part="centavo"), "ARS": _PESO, "\u20b1": _PESO, "PHP": _PESO,
    "\u20a9": _named("won", "won"), "KRW": _named("won", "won"), "\u20bd": _named("ruble", part="kopek"),
    "RUB": _named("ruble", part="kopek"), "\u20ba": _named("lira"), "TRY": _named("lira"), "\u20b4": _named("hryvnia"),
    "UAH": _named("hryvnia"), "\u20aa": _named("shekel"), "ILS": _named("shekel"), "\u0e3f": _named("baht", "baht"),
    "THB": _named("baht", "baht"), "\u20ab": _named("dong", "dong"), "VND": _named("dong", "dong"),
    "\u20a6": _named("naira", "naira", "kobo", "kobo"), "NGN": _named("naira", "naira", "kobo", "kobo"),
    "\u20b5": _named("cedi"), "GHS": _named("cedi"), "\u20b8": _named("tenge", "tenge"),
    "\u20be": _named("lari", "lari"), "\u20bc": _named("manat", "manat"), "\u20a1": _named("colon", "colones"),
    "\u20b2": _named("guarani"), "\u20ae": _named("tugrik"), "\u09f3": _named("taka", "taka"),
    "\u20bf": _named("bitcoin"), "BTC": _named("bitcoin"), "ETH": _named("ether", "ether"),
    "z\u0142": _named("zloty", "zlotys", "grosz", "groszy"), "PLN": _named("zloty", "zlotys", "grosz", "groszy"),
    "K\u010d": _named("koruna", "koruny"), "CZK": _named("koruna", "koruny"), "Ft": _named("forint", "forints"),
    "HUF": _named("forint", "forints"), "lei": _named("leu", "lei"), "RON": _named("leu", "lei"), "SEK": _KRONA,
    "NOK": _KRONE, "DKK": _KRONE, "ISK": _named("krona", "kronur"), "kr.": _KRONA, "kr": _KRONA,
    "ZAR": _named("rand", "rand", "cent"), "SAR": _named("riyal"), "AED": _named("dirham"),
    "EGP": _named("Egyptian pound"), "KES": _named("Kenyan shilling"), "KSh": _named("Kenyan shilling"),
    "IDR": _named("rupiah", "rupiah"), "Rp": _named("rupiah", "rupiah"), "MYR": _named("ringgit", "ringgit"),
    "RM": _named("ringgit", "ringgit"), "CLP": _named("Chilean peso"), "COP": _named("Colombian peso"),
    "PEN": _named("sol", "soles"), "S/": _named("sol", "soles"), "BGN": _named("lev", "leva"),
    "лв": _named("lev", "leva"), "RSD": _named("dinar"), "KWD": _named("dinar"), "\u00a2": _named("cent"),
    "\u00a4": _named("unit"),
}  # fmt: skip
"""By sign, code of ISO 4217 and common short form."""
