"""The site: `sphinx-build -W docs docs/_build` makes it; every script, font and picture that it needs is inside."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from jax_lstm.version import __version__  # noqa: E402, from this checkout

project = "jax_lstm"
author = "The jax_lstm developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tests run the notebooks; the site shows the outputs that are stored in them

default_role = "code"  # single backticks in docstrings
autodoc_typehints = "none"  # the signature and the docstring say it
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"jax_lstm {version}"
html_copy_source = False
html_show_sphinx = False
