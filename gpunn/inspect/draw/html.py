"""A picture on a page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from gpunn.printing import printable

from .picture import Picture
from .svg import as_svg, style

PAGE = """\
html { background: var(--paper); }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
header { padding: 14px 18px 0; }
h1 { margin: 0; font-size: 20px; overflow-wrap: anywhere; }
label { color: var(--soft); }
main { overflow-x: auto; padding: 8px 0 24px; }
main svg { display: block; margin: 0 auto; }
header:has(#whole:checked) ~ main svg { width: 100%; height: auto; }
@media print { input, label { display: none; } main { overflow: visible; } main svg { max-width: 100%; height: auto; } }
"""


def as_html(picture: Picture) -> str:
    """The page: the picture in its size, or as wide as the window."""
    sheet = style() + PAGE
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode("ascii")
    title = escape(printable(picture.title, keep=""))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{sheet}</style>
</head>
<body>
<header><h1>{title}</h1>
<input type="checkbox" id="whole"><label for="whole">as wide as the window</label></header>
<main tabindex="0" aria-label="graph">
{as_svg(picture, head="legend")}</main>
</body>
</html>
"""
