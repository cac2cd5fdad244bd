"""A small drawing surface over matplotlib that ends as inline SVG in the page's own colours and type.

matplotlib draws in placeholder colours, one for each role; afterwards each becomes a class of style.css, so that
light, dark and print are the style sheet's business. No style attribute is left, which lets the page forbid them.
Texts are drawn as tokens and put in at the end: names of columns are other people's texts, of which matplotlib
would read some as formulas and miss glyphs of others.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET  # only what matplotlib just wrote is parsed here
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from churnwatch.reports.words import plain

_POINTS = 72  # to the inch: a figure of so many inches has as many units as pixels here
TEXT = 11.0  # pixels

# Role → a colour that matplotlib carries through; never black, which it leaves out of its SVG.
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
BLUE, ORANGE, TEAL, GREY = "#050505", "#060606", "#070707", "#080808"
_ROLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper", BLUE: "blue", ORANGE: "orange", TEAL: "teal",
          GREY: "grey"}  # fmt: skip

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "churnwatch",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],  # ships with matplotlib; only for measuring, the page's font is used
    "font.size": TEXT,
    "path.simplify": True,
    "axes.linewidth": 0.0,
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished picture."""

    svg: str


class Canvas:
    """One picture of a fixed size in pixels, while it is drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _POINTS, height / _POINTS), dpi=_POINTS)
        self.figure.patch.set_visible(False)
        self._texts: dict[str, str] = {}
        self._told: list[tuple[Axes, float, float, str]] = []

    def axes(self, *, left: float, right: float, top: float, bottom: float) -> Axes:
        """Return bare axes with these margins in pixels."""
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, (self.width - left - right) / self.width,
             (self.height - top - bottom) / self.height)
        )  # fmt: skip
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=6, colors=MUTED, labelsize=TEXT)
        return axes

    def token(self, text: str) -> str:
        """Return what to draw instead of a text; the text itself takes its place in the end."""
        token = f"@{len(self._texts)}@"
        self._texts[token] = plain(text)
        return token

    def write(self, axes: Axes, x: float, y: float, text: str, **style: object) -> Text:
        """Write a text at a place in data coordinates."""
        wanted: dict[str, Any] = {"color": INK, "fontsize": TEXT, "va": "center", "clip_on": False, **style}
        return axes.text(x, y, self.token(text), **wanted)

    def tell(self, axes: Axes, x: float, y: float, text: str) -> None:
        """Have a text shown where the mouse rests on a place in data coordinates."""
        self._told.append((axes, x, y, text))

    def finish(self, identity: str, title: str, described: str, classes: str) -> Drawing:
        """Return the picture as inline SVG.

        Args:
            identity: unique on the page.
            title: what the picture is of.
            described: what it shows, for those who do not see it.
            classes: of the style sheet.
        """
        stream = io.BytesIO()
        self.figure.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        root = ET.fromstring(stream.getvalue())  # noqa: S314 - written by matplotlib just now
        kept = ET.Element("svg", {"class": f"chart {classes}", "viewBox": f"0 0 {self.width} {self.height}",
                                  "role": "img", "aria-labelledby": f"{identity}-title {identity}-text"})  # fmt: skip
        ET.SubElement(kept, "title", {"id": f"{identity}-title"}).text = title
        ET.SubElement(kept, "desc", {"id": f"{identity}-text"}).text = plain(described, longest=2000)
        kept.extend(child for child in root if child.tag != f"{_SVG}metadata")
        _clean(kept, identity, self._texts)
        for axes, x, y, text in self._told:
            right, up = axes.transData.transform((x, y))  # at 72 dots to the inch these are our pixels
            spot = ET.SubElement(kept, "circle", {"cx": f"{right:.1f}", "cy": f"{self.height - up:.1f}", "r": "8",
                                                  "class": "spot"})  # fmt: skip
            ET.SubElement(spot, "title").text = plain(text)
        return Drawing(ET.tostring(kept, encoding="unicode"))


@contextmanager
def canvas(width: int, height: int) -> Iterator[Canvas]:
    """Draw with our settings, whatever the user's own matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield Canvas(width, height)


def _clean(root: ET.Element, identity: str, texts: dict[str, str]) -> None:
    """Turn matplotlib's SVG into a part of the page: own ids, classes for colours, the true texts."""
    used = {_target(element) for element in root.iter()} - {None}
    for parent in root.iter():
        for child in [each for each in parent if each.tag == f"{_SVG}style"]:
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None
        _identify(element, identity, used)
        _restyle(element)
        text = (element.text or "").strip()
        element.text = texts.get(text, text) or None
        for name in ("d", "transform", "x", "y"):
            if name in element.attrib:
                element.set(name, _NUMBER.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[name]))


def _target(element: ET.Element) -> str | None:
    """Return the id that an element refers to."""
    if _HREF in element.attrib:
        return element.attrib[_HREF].removeprefix("#")
    found = re.fullmatch(r"url\(#(.+)\)", element.attrib.get("clip-path", ""))
    return found[1] if found else None


def _identify(element: ET.Element, identity: str, used: set[str | None]) -> None:
    """Keep only the ids that something refers to, made unique on the page."""
    target = _target(element)
    if element.attrib.pop(_HREF, None):
        element.set("href", f"#{identity}-{target}")
    elif target:
        element.set("clip-path", f"url(#{identity}-{target})")
    own = element.attrib.get("id")
    if own in used:
        element.set("id", f"{identity}-{own}")
    elif own and not own.startswith(identity):
        del element.attrib["id"]


def _restyle(element: ET.Element) -> None:
    """Turn a style attribute into classes for colours and attributes for the rest."""
    style = element.attrib.pop("style", "")
    classes = [element.attrib["class"]] if "class" in element.attrib else []
    for name, _, value in (part.strip().partition(": ") for part in style.split(";") if part.strip()):
        if value in _ROLES:
            classes.append(f"{name}-{_ROLES[value]}")
        elif name == "font":
            element.attrib.update(_font(value))
        else:
            element.set(name, value)
    if classes:
        element.set("class", " ".join(classes))


def _font(value: str) -> dict[str, str]:
    """Keep size and weight of a font, not its family: that is the page's."""
    found = re.match(r"(?:(bold|\d{3}) )?([\d.]+)px", value)
    if found is None:
        return {}
    weight = {"font-weight": found[1]} if found[1] else {}
    return {"font-size": f"{float(found[2]):g}", **weight}
