"""The colours of pictures, for each phase, on light and on dark paper.

Text on its ground has a contrast of at least 7, a line on the paper of at least 3 (WCAG 2.2, 1.4.6 and 1.4.11).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """Of a box: its ground, its line and its text."""

    ground: str
    line: str
    text: str


LIGHT = {
    "given": Colour("#eef0f3", "#6b7380", "#1d2129"),
    "forward": Colour("#dfeafd", "#2563eb", "#12264f"),
    "backward": Colour("#ffe6d5", "#c2410c", "#4a1a06"),
    "update": Colour("#ddf3e2", "#22803a", "#0d3a19"),
}
DARK = {
    "given": Colour("#2a2f38", "#97a0af", "#eceef2"),
    "forward": Colour("#1b2f57", "#6ea8fe", "#e3edff"),
    "backward": Colour("#4a2412", "#ff9255", "#ffe9dc"),
    "update": Colour("#173a22", "#69db7c", "#dff7e5"),
}
PAPER = {"light": "#fbfbf9", "dark": "#14171c"}
INK = {"light": "#1d2129", "dark": "#e6e8ec"}
SOFT = {"light": "#5b6472", "dark": "#a3acba"}
RULE = {"light": "#e3e5e9", "dark": "#2e343e"}


def css() -> str:
    """The colours as custom properties of ``.graph``, by the colour scheme of whoever looks."""

    def block(colours: dict[str, Colour], scheme: str) -> str:
        named = {"paper": PAPER, "ink": INK, "soft": SOFT, "rule": RULE}
        found = [f"--{name}: {table[scheme]};" for name, table in named.items()]
        found += [
            f"--{phase}-ground: {c.ground}; --{phase}-line: {c.line}; --{phase}-text: {c.text};"
            for phase, c in colours.items()
        ]
        return " ".join(found)

    return (
        f":root {{ color-scheme: light dark; {block(LIGHT, 'light')} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {block(DARK, 'dark')} }} }}\n"
    )
