"""The documentation site, built by ``make docs``. Reference, ladder and command are made of the sources."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

import gpunn  # noqa: E402

project = "gpunn"
copyright = "the gpunn authors"
release = version = gpunn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "docs.generate.sphinx"]

# reStructuredText
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
nitpicky = True
nitpick_ignore_regex = [("py:(class|exc)", ".*"), ("py:obj", r".*\.T_co")]  # types; those with a page are linked
highlight_language = "python"
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries = False

# Markdown
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

# autodoc
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = True

# HTML
html_theme = "furo"
html_title = "gpunn"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "source_repository": ""}
