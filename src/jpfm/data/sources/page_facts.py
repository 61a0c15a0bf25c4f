"""What a page says of itself in its tags: title, language, address, date, licences, robots directives.

    facts = read_facts(html, base="https://example.jp/a")

Read from the source, because nodes of a tree cost a microsecond each in Python. A <meta> counts wherever it stands,
also in the body of a broken page: an opt-out must not be missed. What stands in a comment or a script does not count.

A licence is told only when the page names one: two different ones, or a Creative Commons link beside a quoted picture
and another beside the text, name none (all stand in `licences`).
"""

import html as entities
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urljoin

_MAX_TAGS = 200  # looked at of one name
_ATTRIBUTE = re.compile(r"""([A-Za-z][A-Za-z0-9:_-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_TAG_END = re.compile(r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_TITLE = re.compile(r"<title(?=[\s>])[^>]*>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)
_NOT_MARKUP = (("<!--", "-->"), ("<script", "</script"), ("<style", "</style"), ("<template", "</template"))
_CC = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(licen[sc]es|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?(?:/([a-z]{2,4})\b)?",
    re.IGNORECASE,
)
_PUBLIC_DOMAIN = {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}
_SPDX_PORTS = """
BY-2.5-AU BY-3.0-AT BY-3.0-AU BY-3.0-DE BY-3.0-IGO BY-3.0-NL BY-3.0-US BY-NC-3.0-DE BY-NC-ND-3.0-DE BY-NC-ND-3.0-IGO
BY-NC-SA-2.0-DE BY-NC-SA-2.0-FR BY-NC-SA-2.0-UK BY-NC-SA-3.0-DE BY-NC-SA-3.0-IGO BY-ND-3.0-DE BY-SA-2.0-UK BY-SA-2.1-JP
BY-SA-3.0-AT BY-SA-3.0-DE BY-SA-3.0-IGO
"""
_SPEAKS_OF_LICENCE = re.compile(r"creativecommons\.org/|license")
_LICENCE_METAS = ("dcterms.license", "dcterms.rights", "dc.rights", "dc.rights.license", "license", "cc:license")
_DATE_METAS = ("article:published_time", "dcterms.date", "dc.date", "dcterms.created", "date", "datepublished")
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_ROBOTS_METAS = ("robots", "googlebot", "bingbot", "gptbot", "ccbot", "google-extended", "anthropic-ai")
_NO_AI = re.compile(r"(?:^|[\s,:])noai(?:$|[\s,])", re.IGNORECASE)


class Facts(NamedTuple):
    """Empty where the page does not say."""

    title: str
    lang: str
    licence: str
    """An SPDX identifier where it is a Creative Commons licence, else its address."""
    licences: tuple[str, ...]
    """The addresses of all licences that the page names."""
    url: str
    """The canonical address."""
    date: str
    """When it was published, ISO 8601."""
    robots: str
    """The directives of its robots meta tags."""
    tdm: str
    """The value of `<meta name="tdm-reservation">`: 1 reserves text and data mining for the owner."""
    tdm_policy: str


def read_facts(html: str, base: str = "") -> Facts:
    """The facts of a page; relative addresses in it refer to `base`.

    >>> source = "<html lang=ja><title>市の\\n予算</title><a rel=license href=//creativecommons.org/licenses/by/4.0/>"
    >>> facts = read_facts(source)
    >>> facts.title, facts.lang, facts.licence
    ('市の 予算', 'ja', 'CC-BY-4.0')
    """
    metas = _metas(html)
    links = [tag for tag in _tags(html, "link") if tag.get("href")]
    licences = _licences(html, links, metas, base)
    named = tuple(dict.fromkeys(spdx(licence) for licence in licences))
    root = next(_tags(html, "html"), {})
    canonical = next((tag["href"] for tag in links if tag.get("rel", "").lower() == "canonical"), "")
    dates = (_DATE.search(metas.get(key, "")) for key in _DATE_METAS)
    return Facts(
        title=_title(html) or metas.get("og:title", ""),
        lang=root.get("lang") or root.get("xml:lang") or metas.get("content-language", "").partition(",")[0].strip(),
        licence=named[0] if len(named) == 1 else "",
        licences=licences,
        url=next((url for url in (_join(base, canonical), metas.get("og:url", "")) if url.startswith("http")), ""),
        date=next((_iso(*date.groups()) for date in dates if date), ""),
        robots=", ".join(dict.fromkeys(metas[key] for key in _ROBOTS_METAS if metas.get(key))),
        tdm=metas.get("tdm-reservation", ""),
        tdm_policy=metas.get("tdm-policy", ""),
    )


def opt_out(*directives: str, tdm: str = "") -> str:
    """Why a page may not be used to train, as its own directives say; empty when they do not.

    >>> opt_out("noindex, NoAI"), opt_out("noindex, noimageai", tdm="0"), opt_out(tdm="1")
    ('noai', '', 'tdm-reservation: 1')

    noimageai speaks of pictures and noindex of search: neither of reading the text.
    """
    if tdm.strip() == "1":
        return "tdm-reservation: 1"
    return "noai" if any(_NO_AI.search(value) for value in directives) else ""


def spdx(address: str) -> str:
    """The SPDX identifier of a Creative Commons address; any other address stays as it is.

    >>> spdx("https://creativecommons.org/licenses/by-sa/4.0/deed.ja")
    'CC-BY-SA-4.0'
    >>> spdx("http://creativecommons.org/licenses/by/2.1/jp/"), spdx("//creativecommons.org/publicdomain/zero/1.0/")
    ('LicenseRef-CC-BY-2.1-JP', 'CC0-1.0')

    SPDX lists few of the licences that were ported to a country; the others are named as terms of their own.
    """
    found = _CC.match(address)
    if found is None:
        return address
    family, kind, version, port = found.groups()
    if family.lower() == "publicdomain":
        return _PUBLIC_DOMAIN.get(kind.lower(), address)
    if version is None:
        return address  # which one is not said
    name = f"{kind.upper()}-{version}"
    if port is None or port.lower() == "deed":
        return f"CC-{name}"
    name = f"{name}-{port.upper()}"
    return f"CC-{name}" if name in _SPDX_PORTS.split() else f"LicenseRef-CC-{name}"


def is_markup(html: str, position: int) -> bool:
    """Whether what stands there is no part of a comment, a script, a style sheet or a template.

    >>> is_markup("<!-- <main> --><main>", 5), is_markup("<!-- <main> --><main>", 15)
    (False, True)
    """
    for begin, end in _NOT_MARKUP:
        start = html.rfind(begin, 0, position)
        if start >= 0 and not 0 <= html.find(end, start, position + len(end)) <= position:
            return False
    return True


def _tags(html: str, name: str) -> Iterator[dict[str, str]]:
    """The attributes of the first tags of a name, in lower or upper case."""
    for written in (f"<{name}", f"<{name.upper()}"):
        position = html.find(written)
        for _ in range(_MAX_TAGS):
            if position < 0:
                break
            if (tag := _tag(html, position, len(written))) is not None:
                yield tag
            position = html.find(written, position + 1)


def _tag(html: str, start: int, name_chars: int) -> dict[str, str] | None:
    """The attributes of the tag that begins here; the first of a name counts."""
    end = _TAG_END.match(html, start + name_chars)
    if end is None or end.group()[0] not in " \t\n\r\f/>" or not is_markup(html, start):
        return None
    return {
        key.lower(): entities.unescape(double or single or bare).strip()
        for key, double, single, bare in reversed(_ATTRIBUTE.findall(end.group()))
    }


def _title(html: str) -> str:
    begin = _TITLE.search(html)
    end = _TITLE_END.search(html, begin.end()) if begin else None
    return " ".join(entities.unescape(html[begin.end() : end.start()]).split()) if begin and end else ""


def _metas(html: str) -> dict[str, str]:
    """Contents of the meta tags by lower-case name; the first of a name counts, robots directives add up."""
    found: dict[str, str] = {}
    for tag in _tags(html, "meta"):
        name = (tag.get("name") or tag.get("property") or tag.get("http-equiv") or "").lower()
        content = " ".join(tag.get("content", "").split())
        if name in _ROBOTS_METAS and name in found:
            found[name] += f", {content}"
        elif name and content:
            found.setdefault(name, content)
    return found


def _licences(html: str, links: list[dict[str, str]], metas: dict[str, str], base: str) -> tuple[str, ...]:
    """Addresses of the licences that the page names; links to Creative Commons count where nothing else does."""
    found = [tag["href"] for tag in links if "license" in tag.get("rel", "").lower().split()]
    found += [value for key in _LICENCE_METAS if (value := metas.get(key, "")).startswith(("http:", "https:", "//"))]
    if "creativecommons.org/" in html or "license" in html:
        anchors = [tag for tag in _anchors(html) if tag.get("href")]
        found += [tag["href"] for tag in anchors if "license" in tag.get("rel", "").lower().split()]
        found = found or [tag["href"] for tag in anchors if _CC.match(tag["href"])]
    return tuple(dict.fromkeys(_join(base, link) for link in found))


def _anchors(html: str) -> Iterator[dict[str, str]]:
    """The attributes of <a> tags around the first mentions of a licence."""
    before = -1
    for found in itertools.islice(_SPEAKS_OF_LICENCE.finditer(html), _MAX_TAGS):
        start = html.rfind("<a", max(0, found.start() - 2000), found.start())
        if start > before and (tag := _tag(html, start, 2)) is not None:
            before = start
            yield tag


def _join(base: str, address: str) -> str:
    try:
        return urljoin(base, address.strip()) if address else ""
    except ValueError:  # brackets that are no IPv6 address
        return address.strip()


def _iso(year: str, month: str, day: str, time: str | None) -> str:
    return f"{year}-{month:0>2}-{day:0>2}{time or ''}"
