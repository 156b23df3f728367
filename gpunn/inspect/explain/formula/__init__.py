"""Formulas: from the notation of the docstrings to Unicode, LaTeX and MathML."""

from .parse import parse as parse
from .render import latex as latex
from .render import mathml as mathml
from .render import unicode as unicode
from .tree import Item as Item
