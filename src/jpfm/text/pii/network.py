"""Addresses and secrets of networks: e-mail, public IP addresses, tokens and passwords in URLs."""

import ipaddress
import re
from collections.abc import Iterator

from jpfm.text.pii.window import Span, Window

_FILES_TEXT = (
    "png jpg jpeg gif webp svg bmp ico pdf css js mjs ts tsx jsx json html htm xml yaml yml md txt zip gz tar mp3"
    " mp4 mov exe dll so py rb rs go java kt php sh c h cpp hpp cs swift lock map log csv tsv class jar local"
    " localhost internal"
)
_FILES = frozenset(_FILES_TEXT.split())
_LOCAL = r"[A-Za-z0-9._%+'-]{1,64}"
_DOMAIN = r"(?:[A-Za-z0-9ぁ-んァ-ヶー一-龯](?:[A-Za-z0-9ぁ-んァ-ヶー一-龯-]{0,61}[A-Za-z0-9ぁ-んァ-ヶー一-龯])?\.){1,6}"
_MAIL = re.compile(rf"(?<![\w.@%+-])(?P<local>{_LOCAL})(?P<at>@|[★☆●◎■◆])"
                   rf"(?P<domain>{_DOMAIN}[A-Za-z]{{2,18}})(?![A-Za-z0-9@_-])",
                   re.ASCII)  # fmt: skip
_DOT = r"(?:\.| ?[\[({<](?:dot|DOT|ドット)[\])}>] ?)"
_SPELLED = re.compile(
    rf"(?<![\w.@-])(?P<local>{_LOCAL}) ?[\[({{<【](?:at|AT|At|アットマーク|アット|@)[\])}}>】] ?"
    rf"(?P<domain>[A-Za-z0-9-]+(?:{_DOT}[A-Za-z0-9-]+){{0,4}}{_DOT}(?P<top>[A-Za-z]{{2,18}}))(?![A-Za-z0-9@])",
    re.ASCII,
)
_PASSWORD = re.compile(r"://[^\s/@:]{1,64}:$")  # user:password@host
_VERSION = re.compile(r"(?<!\d)\d+x$|^\d[\d.]*$")


def mails(window: Window, *, spelled: bool = True) -> Iterator[Span]:
    """E-mail addresses; `spelled` also takes [at] for the sign.

    >>> from jpfm.text.pii.window import window
    >>> [s.start for s in mails(window("a@example.jp、react@18.2.0、icon@2x.png、@a@mastodon.jp、b[at]example.jp"))]
    [0, 53]
    """
    for match in _MAIL.finditer(window.flat):
        first, top = match["domain"].split(".")[0], match["domain"].rsplit(".", 1)[-1].lower()
        after = window.flat[match.end() : match.end() + 2]
        is_remote = after[:1] == ":" and re.match(r":[~/\w.]", after, re.ASCII) is not None
        if top in _FILES or _VERSION.search(first) or is_remote or match["local"] in ("git", "npm"):
            continue
        if match["at"] != "@" and not spelled:
            continue
        if _PASSWORD.search(window.before(match.start(), 80)):
            continue
        if not match["local"].strip(".-+%'_") or not _is_natural(match["domain"]):
            continue
        if window.whole(*match.span()):
            start = match.start() + len(match["local"]) - len(match["local"].lstrip("'-."))
            yield Span("email", start, match.end() - start)
    if spelled:
        for match in _SPELLED.finditer(window.flat):
            if match["top"].lower() not in _FILES and window.whole(*match.span()):
                yield Span("email", match.start(), len(match.group()))


def _is_natural(domain: str) -> bool:
    top = domain.rsplit(".", 1)[-1]
    return top.islower() or top.isupper()  # user@package.ClassName is code


_V4 = re.compile(r"(?<![\w.-])(?<![\w]/)(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)", re.ASCII)
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{6,39}(?![\w:])", re.ASCII)
_IS_VERSION = re.compile(
    r"(?:[Vv]er(?:sion)?s?|バージョン|ヴァージョン|リビジョン|ビルド|[Bb]uild|版|リリース|[Rr]elease|[Vv]|Chrome"
    r"|Firefox|Edge|ファームウェア"
    r"|ドライバ?ー?|driver|SDK|DLL|OID|アセンブリ|assembly|Assembly|パッケージ|package|第|節|項|章)[^。、\n\d]{0,6}$"
)
_IS_UPDATE = re.compile(
    r" ?(?:以[降前上下]|未満|系|より[新古]し|へ?の?(?:アップ(?:デート|グレード)|更新|移行)|に(?:更新|アップ)"
    r"|を?(?:リリース|公開版)|版|節|項|章)"
)
_IS_HOST = re.compile(
    r"(?:IP|アドレス|ホスト|サーバー?|host|server|DNS|接続元|送信元|アクセス元|端末|ping|from)[^。、\n]{0,16}$",
    re.IGNORECASE,
)


def addresses(window: Window, *, keep_private: bool = True) -> Iterator[Span]:
    """IPv4 and IPv6 addresses, not version or section numbers; private and documentation ranges stay by default.

    >>> from jpfm.text.pii.window import window
    >>> [s.start for s in addresses(window("接続元は8.8.4.4、版は1.2.3.4、192.168.0.1、2400:4050::1"))]
    [4, 34]
    """
    for pattern in (_V4, _V6):
        for match in pattern.finditer(window.flat if pattern is _V4 else window.raw):
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if keep_private and (not address.is_global or address.is_multicast):
                continue
            if address.version == 6 and keep_private and address not in _UNICAST:
                continue
            before = window.before(match.start(), 24)
            if address.version == 4 and not _IS_HOST.search(before):
                if _IS_VERSION.search(before) or _IS_UPDATE.match(window.flat, match.end()):
                    continue
                if all(int(part) <= 40 for part in match.group().split(".")):
                    continue  # 3.1.2.4 and 7.22.1.2 are sections; of real addresses hardly one in a thousand is so low
            if window.whole(*match.span()):
                yield Span("ip_address", match.start(), len(match.group()))


_UNICAST = ipaddress.ip_network("2000::/3")


_WEAK = r"key|sid|auth|pass|code|sig|pw|otp|ticket|uid|hash|nonce|state"
_STRONG = (
    r"(?:[\w-]*(?:access|refresh|id|auth|csrf|api|user|session|reset|verify|verification|login|security|bearer"
    r"|invite)[_-]?)?token"
    r"|api[_-]?key|app[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?key)?|client[_-]?secret|session(?:[_-]?id)?"
    r"|password|passwd"
    r"|pwd|signature|jwt|X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|PHPSESSID|jsessionid"
    r"|credentials?|X-Goog-Signature"
)
_SECRET = re.compile(rf"[?&#;](?:amp;)?(?P<name>{_STRONG}|{_WEAK})=(?P<value>[^&\s#\"'<>;)\]]+)", re.IGNORECASE)
_USER = re.compile(r"://(?P<value>[^\s/@:\"'<>]{1,64}:[^\s/@\"'<>]{1,128})@")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,14}://[!-~]+")
_PLACEHOLDER = re.compile(
    r"^[\[{<$%(*]|\*{3}|x{4}|X{4}|YOUR|your|[._-]HERE|\.\.\.|^(?:token|key|value|secret|password|string|null|true"
    r"|false|none)$|^[A-Z_]+$"
    r"|^(?:id|user\w*|login|name|foo|admin)?:(?:pass\w*|pw|pwd|secret|bar)$"
)


def url_tokens(window: Window) -> Iterator[Span]:
    """The secret part of a URL: the value of token, key, session or password, and user:password before the host.

    >>> from jpfm.text.pii.window import window
    >>> w = window("https://a.example/r?id=3&token=9fA3xQ77b2とhttps://u:p4ss@b.example/と?token=TOKEN")
    >>> [w.raw[s.start : s.end] for s in url_tokens(w)]
    ['9fA3xQ77b2', 'u:p4ss']
    """
    for url in _URL.finditer(window.raw):
        for match in [*_SECRET.finditer(url.group()), *_USER.finditer(url.group())]:
            value = match["value"].rstrip(".,)")
            weak = "name" in match.groupdict() and re.fullmatch(_WEAK, match["name"], re.IGNORECASE)
            if _PLACEHOLDER.search(value) or len(value) < (12 if weak else 4):
                continue
            if weak and not (re.search(r"\d", value) and re.search(r"[A-Za-z]", value)):
                continue
            start = url.start() + match.start("value")
            if window.whole(start, start + len(value)):
                yield Span("url_token", start, len(value))
