"""What a page says of itself in its tags: title, language, address, date, licences, robots directives.

    data = html.encode()
    facts = read_facts(data, tags.scan(data, "a.html"), base="https://example.jp/a")

Read from the tags' source, because nodes of a tree cost a microsecond each in Python. A <meta> counts wherever it
stands, also in the body of a broken page: an opt-out must not be missed. Comments and scripts do not count.

A licence is told only when the page names one: two different ones, or a Creative Commons link beside a quoted picture
and another beside the text, name none (all stand in `licences`).
"""

import html as entities
import re
from typing import NamedTuple
from urllib.parse import urljoin

from jpfm.data.sources.tags import Tags

_ATTRIBUTE = re.compile(r"""([A-Za-z][A-Za-z0-9:_-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_META_NAME = re.compile(rb"""\s(?:name|property|http-equiv)\s*=\s*["']?\s*([A-Za-z0-9:._-]+)""", re.IGNORECASE)
_TITLE_END = re.compile(rb"</title", re.IGNORECASE)
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
_LICENCE_METAS = ("dcterms.license", "dcterms.rights", "dc.rights", "dc.rights.license", "license", "cc:license")
_DATE_METAS = ("article:published_time", "dcterms.date", "dc.date", "dcterms.created", "date", "datepublished")
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_ROBOTS_METAS = ("robots", "googlebot", "bingbot", "gptbot", "ccbot", "google-extended", "anthropic-ai")
_METAS = {name.encode() for name in (*_LICENCE_METAS, *_DATE_METAS, *_ROBOTS_METAS, "tdm-reservation", "tdm-policy",
                                     "og:title", "og:url", "content-language")}  # fmt: skip
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


def read_facts(html: bytes, tags: Tags, base: str = "") -> Facts:
    """The facts of a page in UTF-8; relative addresses in it refer to `base`.

    >>> from jpfm.data.sources.tags import measure
    >>> source = "<html lang=ja><title>市の\\n予算</title><a rel=license href=//creativecommons.org/licenses/by/4.0/>"
    >>> facts = read_facts(source.encode(), measure(source.encode()))
    >>> facts.title, facts.lang, facts.licence
    ('市の 予算', 'ja', 'CC-BY-4.0')
    """
    metas = _metas(html, tags)
    links = [tag for place in tags.found("link") if (tag := _attributes(html[slice(*place)])).get("href")]
    licences = _licences(html, tags, links, metas, base)
    named = tuple(dict.fromkeys(spdx(licence) for licence in licences))
    root = _attributes(html[slice(*tags.found("html")[0])]) if tags.has("html") else {}
    canonical = next((tag["href"] for tag in links if tag.get("rel", "").lower() == "canonical"), "")
    dates = (_DATE.search(metas.get(key, "")) for key in _DATE_METAS)
    return Facts(
        title=_title(html, tags) or metas.get("og:title", ""),
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


def _attributes(tag: bytes) -> dict[str, str]:
    """The attributes of a tag by lower-case name; the first of a name counts."""
    return {
        key.lower(): entities.unescape(double or single or bare).strip()
        for key, double, single, bare in reversed(_ATTRIBUTE.findall(tag.decode("utf-8", "replace")))
    }


def _title(html: bytes, tags: Tags) -> str:
    _, begin = next(iter(tags.found("title")), (0, 0))
    end = _TITLE_END.search(html, begin) if begin else None
    text = html[begin : end.start()].decode("utf-8", "replace") if end else ""
    return " ".join(entities.unescape(text).split())


def _metas(html: bytes, tags: Tags) -> dict[str, str]:
    """Contents of the meta tags by lower-case name; the first of a name counts, robots directives add up."""
    found: dict[str, str] = {}
    for start, stop in tags.found("meta"):
        told = _META_NAME.search(html, start, stop)
        if told is None or told.group(1).lower() not in _METAS:
            continue
        name = told.group(1).lower().decode()
        content = " ".join(_attributes(html[start:stop]).get("content", "").split())
        if name in _ROBOTS_METAS and name in found:
            found[name] += f", {content}"
        elif content:
            found.setdefault(name, content)
    return found


def _licences(
    html: bytes, tags: Tags, links: list[dict[str, str]], metas: dict[str, str], base: str
) -> tuple[str, ...]:
    """Addresses of the licences that the page names; links to Creative Commons count where nothing else does."""
    anchors = [tag for place in tags.found("a") if (tag := _attributes(html[slice(*place)])).get("href")]
    found = [tag["href"] for tag in links if "license" in tag.get("rel", "").lower().split()]
    found += [value for key in _LICENCE_METAS if (value := metas.get(key, "")).startswith(("http:", "https:", "//"))]
    found += [tag["href"] for tag in anchors if "license" in tag.get("rel", "").lower().split()]
    found = found or [tag["href"] for tag in anchors if _CC.match(tag["href"])]
    return tuple(dict.fromkeys(_join(base, link) for link in found))


def _join(base: str, address: str) -> str:
    try:
        return urljoin(base, address.strip()) if address else ""
    except ValueError:  # brackets that are no IPv6 address
        return address.strip()


def _iso(year: str, month: str, day: str, time: str | None) -> str:
    return f"{year}-{month:0>2}-{day:0>2}{time or ''}"
