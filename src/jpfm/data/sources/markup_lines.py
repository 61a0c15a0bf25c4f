"""Lines of HTML source made what they mean, before a parser turns each line break into a space.

    prepare("<p>日本語の\\n段落</p>", tags)        # '<p>日本語の段落</p>'

A line break between two Japanese characters means nothing, also beside <b> or </a>; elsewhere it is a space. <pre>
keeps its lines and tabs, and code in <pre><code> is put between fences, as in Markdown, so that normalisation leaves
it alone. Paragraphs and breaks inside a short table cell become spaces: a row is a line.

Works on the source because a parsed tree is ten times slower to change from Python. Every pattern is linear: where it
begins is a literal, and what may repeat is bounded or cannot be given back.
"""

import re

from jpfm.data.sources.tag_kernel import CR, SPACED_BREAK, UPPER
from jpfm.data.sources.tags import Tags

KEPT, TAB = "\ufdd0", "\ufdd1"
"""Code points that no text holds mark a line of <pre>, which tidying leaves alone, and a tab in it, until the end."""
_JAPANESE = (
    "\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uffef\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_INLINE = "a|abbr|b|big|cite|code|del|dfn|em|font|i|ins|mark|q|rb|ruby|s|small|span|strong|u"
_AFTER_CLOSED = "|".join(  # what a look behind finds must have one width
    f"(?<=[{_JAPANESE}]</(?:{names})>\n)"
    for names in ("a|b|i|s|u|q", "em|rb", "del|ins|big|dfn", "span|font|mark|cite|code|abbr|ruby", "small", "strong")
)
_BREAK = re.compile(
    rf"\n(?:(?<=[{_JAPANESE}]\n)|{_AFTER_CLOSED})[ \t\n]*+(?=(?:<(?:{_INLINE})(?:\s[^<>]*)?>){{0,4}}[{_JAPANESE}])"
)
_IN_RUBY = re.compile(
    r"\n(?:(?<=<ruby>\n)|(?<=<rb>\n)|(?<=</r[bpt]>\n))\s*+|\n\s*+(?=</?r[bpt]c?>|</ruby>)"
    rf"|\n(?<=</ruby>\n)\s*+(?=[{_JAPANESE}])"
)
_PRE = re.compile(r"<pre(?=[\s>])[^>]*>", re.IGNORECASE)
_PRE_END = re.compile(r"</pre\s*>", re.IGNORECASE)
_CODE = re.compile(r"\s*<code\b[^<>]{0,300}>", re.IGNORECASE)
_CODE_END = re.compile(r"</code\s*>\s*\Z", re.IGNORECASE)
_LANGUAGE = re.compile(r"\b(?:language-|lang-|brush:\s?|source-)([A-Za-z0-9_+#.-]{1,20})")
_TICKS = re.compile("`{3,}")
_CELL_PATTERN = (
    r"(<t[dh](?=[\s>])[^<>]*>)(?!\s*+[^<]*+</t[dh]>)"  # most cells hold one line
    r"((?:[^<]++|<(?!/?(?:t[drh]|table|tbody|thead|tfoot|[uod]l|pre|h[1-6])\b)[^<>]*+>){1,30}+)"
    r"(?=</?t[drh]\b|</t(?:able|body|head|foot)\b)"
)
_CELL, _ANY_CELL = re.compile(_CELL_PATTERN), re.compile(_CELL_PATTERN, re.IGNORECASE)
_CELL_BREAK = re.compile(r"(?:\s*<(?:br|/?p|/?div)(?:[\s/][^<>]*)?>\s*+)+", re.IGNORECASE)
_CELL_BLOCK = re.compile(r"<(?:br|p|div)\b", re.IGNORECASE)
_TAGS = re.compile(r"<[^<>]*>")
_MAX_CELL_CHARS = 400
"""A longer cell is layout, or prose that keeps its paragraphs."""


def prepare(html: str, tags: Tags) -> str:
    """The source with line breaks that mean what a reader sees.

    >>> from jpfm.data.sources.tags import measure
    >>> page = "<p>東京と\\n  <a href='/'>京都</a>\\nの間。\\nA to B</p><td><p>甲<br>乙</p></td>"
    >>> prepare(page, measure(page.encode()))
    "<p>東京と<a href='/'>京都</a>の間。\\nA to B</p><td>甲 乙</td>"
    """
    if tags.flags & CR:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    if not tags.has("pre"):
        return _flow(html, tags)
    html = html.replace(KEPT, "").replace(TAB, "")
    parts, position = [], 0
    while begin := _PRE.search(html, position):
        end = _PRE_END.search(html, begin.end())
        inside = html[begin.end() : end.start() if end else len(html)]
        parts += [_flow(html[position : begin.start()], tags), begin.group(), _preformatted(begin.group(), inside)]
        parts.append("</pre><p></p>")
        position = end.end() if end else len(html)
    return "".join([*parts, _flow(html[position:], tags)])


def _flow(html: str, tags: Tags) -> str:
    if tags.flags & SPACED_BREAK:
        html = html.replace(" \n", "\n")
    html = _BREAK.sub("", html)
    if tags.has("ruby"):
        html = _IN_RUBY.sub("", html)
    if tags.has("td", "th"):
        html = (_ANY_CELL if tags.flags & UPPER else _CELL).sub(_cell, html)
    if tags.has("table"):
        html = html.replace("</table>", "</table><p></p>")  # blocks without a blank line of their own
    if tags.has("summary"):
        html = html.replace("</summary>", "</summary><br>")
    return html


def _cell(found: re.Match[str]) -> str:
    tag, content = found.groups()
    if not _CELL_BLOCK.search(content) or len(_TAGS.sub("", content)) > _MAX_CELL_CHARS:
        return found.group()
    return tag + _CELL_BREAK.sub(" ", content).strip()


def _preformatted(tag: str, content: str) -> str:
    """The inside of <pre>, its lines and tabs marked; code gets its fences."""
    code = _CODE.match(content)
    if code is not None:
        content = _CODE_END.sub("", content[code.end() :]).strip("\n")
        named = _LANGUAGE.search(code.group()) or _LANGUAGE.search(tag)
        marks = "`" * max([3, *(len(run) + 1 for run in _TICKS.findall(content))])
        content = f"{marks}{named.group(1) if named else ''}\n{content}\n{marks}"
    return KEPT + content.removeprefix("\n").replace("\n", f"\n{KEPT}").replace("\t", TAB)
