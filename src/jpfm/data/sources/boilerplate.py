"""Whether a class or id names an element that every page of a site repeats: menus, breadcrumbs, banners, footers.

Names are read as words (`l-globalNav__list` is l, global, nav, list), because Japanese sites name such elements in
their own ways (gnavi, pankuzu, topicpath, sns, pagetop). A word that says layout (`with-sidebar`, `main-content`)
speaks against it. `menu` and `header` need a second word: a restaurant has a menu.
"""

import functools
import re

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_QUOTABLE = re.compile(r"""["<>\\\x00-\x1f]""")
_WORD = re.compile(r"[a-z]+")
_ALONE_WORDS = """
ad ads adsbygoogle adsense addtoany advert advertisement banner banners breadclumb breadcrumb breadcrumbs catlinks
consent cookie cookies copyright drawer editsection fnav footer gdpr globalnav globalnavi gnav gnavi gotop hamburger
lightbox lnav lnavi localnav localnavi login megamenu modal mokuji nav navbar navbox navi navigation newsletter onetrust
pagenav pagenavi pager pagetop pagination pankuzu popup promoted ranking recommend recommended related share sharedaddy
sharing sidebar sidemenu sidenav skiplink skipnav snav sns social sponsor sponsored subscribe toc topicpath topicspath
totop
"""
_WITH_WORDS = """
menu: global main site header head footer side sp drawer nav local sub user
header: site global l g head sp
top: page
path: topic topics
crumb: bread
skip: link to content
search: box form bar
"""
_LAYOUT_WORDS = "body closed content contents fixed has layout main no not open opened with without"
_ALONE, _LAYOUT = frozenset(_ALONE_WORDS.split()), frozenset(_LAYOUT_WORDS.split())
_WITH = {key: frozenset(rest.split()) for key, _, rest in (line.partition(": ") for line in _WITH_WORDS.split("\n"))}
_IDS = frozenset(("head", "header", "side", "menu", "search"))


@functools.lru_cache(maxsize=1 << 16)
def selector(attribute: str, value: bytes) -> str:
    """The CSS selector of elements to leave out for this class or id; empty for one that tells nothing.

    >>> selector("class", b"l-gNav")
    '[class="l-gNav"]:not(body, :has(main, article, h1))'
    """
    name = value.decode()
    told = is_boilerplate(attribute, name) and not _NOT_QUOTABLE.search(name)
    return f'[{attribute}="{name}"]:not(body, :has(main, article, h1))' if told else ""


def is_boilerplate(attribute: str, value: str) -> bool:
    """Whether `class="value"` or `id="value"` says so.

    >>> [is_boilerplate("class", name) for name in ("gNavi01", "p-breadcrumb__item", "page-top", "global-header")]
    [True, True, True, True]
    >>> [is_boilerplate("class", name) for name in ("page-with-sidebar", "menu", "jp", "shareholder", "header")]
    [False, False, False, False, False]
    """
    names = _CAMEL.sub("-", value).lower()
    if names == "skip" or (attribute == "id" and names in _IDS):
        return True
    words = set(_WORD.findall(names))
    if any(key in words and others & words for key, others in _WITH.items()):
        return not words & (_LAYOUT - {"main", "content"})
    return bool(words & _ALONE) and not words & _LAYOUT
