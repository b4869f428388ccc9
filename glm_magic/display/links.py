"""The host that a link leads to, and the host that its label claims."""

from __future__ import annotations

import html
import ipaddress
import re
import unicodedata

_ADDRESS = re.compile(r"(?:(?:https?|ftp)://|(?=www\.))([\w.-]+)(?::([0-9]{0,5}))?(?=[/?#]|\Z)", re.IGNORECASE)
_MAIL = re.compile(r"mailto:(?:[^?]*@)?([^?@]*)", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")  # of a host
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HIGHEST_PORT = 65535
_LONGEST_HOST = 253  # characters

# Characters that a page does not show (Unicode's Default_Ignorable_Code_Point), and the marks of Markdown.
_NOT_SEEN = re.compile(
    "[*_~`\\\\\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TAG_NOT_SEEN = re.compile(r"</?(?:br|sub|sup|kbd|b|i|em|strong|u|s|del|ins|mark|small)\s*/?>", re.IGNORECASE)
# What a person takes for these marks of an address (Unicode's confusables.txt), as far as NFKC leaves it alone.
_LOOK_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u3002\u0701\u0702\ua4f8\ua60e\U00010a50\U0001d16d", "."),
        **dict.fromkeys("\u1735\u2041\u2044\u2215\u2571\u27cb\u29f8\u2cc6\u3033\u31d3\U0001d23a", "/"),
        **dict.fromkeys("\u02d0\u02f8\u0589\u05c3\u0703\u0704\u16ec\u1803\u1809\u205a\u2236\ua4fd\ua789", ":"),
    }
)
_AROUND = " \t\n!\"#$%&'()+,-./:;<=>?@[]^{|}«»“”‘’„→…「」『』（）《》【】、，；：！？"
# Common top-level domains, without those that file names and names in programs often end with.
_TOP = (
    r"com|org|edu|gov|mil|int|info|biz|name|app|dev|bank|shop|store|online|site|xyz|top|cloud|tech|example|invalid"
    r"|(?-i:net|ai|io|me|co|tv)|ac|ae|ar|at|au|be|bg|br|by|ca|ch|ci|cl|cn|cz|de|dk|ee|eg|es|eu|fi|fr|gr|hk|hr|hu|ie|il"
    r"|in|ir|is|it|jp|ke|kr|kz|lt|lu|lv|ma|mx|my|ng|nl|no|nz|pe|ph|pk|pt|ro|ru|sa|se|sg|si|sk|th|tr|tw|ua|uk|us|vn|za"
)
_WRITTEN_OUT = re.compile(r"\bhttps?:/*([^\s/?#]+)|(?:://|\bwww\.)([^\s/?#]*)", re.IGNORECASE)
_WHOLE = re.compile(rf"(?:[^\s@/?#]*@)?([\w.-]+\.(?:{_TOP}))(?:[/:?#]\S*)?", re.IGNORECASE)
_CLAIMED = re.compile(r"[\w.-]*")
_NO_ADDRESS = re.compile(r"[^&.:\x80-\U0010ffff]*")  # nothing in it is, or is read as, a mark of an address


def host_of(address: str) -> str:
    """Return the host of `address` (which may begin with ``www.``), or ``""`` if its host is not plain.

    A plain host is one that the URL standard (https://url.spec.whatwg.org/#host-parsing) accepts as written, without
    user info or escapes. JupyterLab treats an address that the browser cannot parse as a path relative to the notebook.
    """
    if mail := _MAIL.match(address):
        return mail[1].lower() or "mail"
    found = _ADDRESS.match(address)
    if found is None or int(found[2] or 0) > _HIGHEST_PORT:
        return ""
    host = found[1].lower()
    return host if _is_plain(host) else ""


def names_another(label: str, host: str) -> bool:
    """Whether `label`, as a person reads it, contains the address of another host than `host`."""
    if _NO_ADDRESS.fullmatch(label):
        return False
    read = html.unescape(_TAG_NOT_SEEN.sub("", label))
    read = unicodedata.normalize("NFKC", _NOT_SEEN.sub("", read)).translate(_LOOK_ALIKE)
    claimed = [found[1] or found[2] or "" for found in _WRITTEN_OUT.finditer(read)]
    if whole := _WHOLE.fullmatch(read.strip(_AROUND)):
        claimed.append(whole[1])
    return any(not _is_of(host, authority.rpartition("@")[2]) for authority in claimed)


def _is_of(host: str, authority: str) -> bool:
    found = _CLAIMED.match(authority)
    claimed = _bare(found[0] if found else "")
    return _bare(host) == claimed or ("." in claimed and _bare(host).endswith(f".{claimed}"))


def _bare(host: str) -> str:
    return host.lower().strip(".").removeprefix("www.")


def _is_plain(host: str) -> bool:
    if len(host) > _LONGEST_HOST:
        return False
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # browsers parse the whole host as an IPv4 address then
        try:
            return bool(ipaddress.IPv4Address(host))
        except ValueError:
            return False
    if host.isascii() and "xn--" not in host:
        return all(map(_LABEL.fullmatch, labels))
    return all(map(_is_international, labels))


def _is_international(label: str) -> bool:
    """Whether a label is valid in IDNA 2008, with characters old enough for every browser to know."""
    import idna  # noqa: PLC0415 - few hosts are not ASCII

    try:
        idna.alabel(label)
        name = idna.ulabel(label)
        idna.check_bidi(name, check_ltr=True)  # browsers check every label if one is right-to-left
    except UnicodeError:  # as IDNAError is
        return False
    return "Cn" not in map(unicodedata.ucd_3_2_0.category, name)
