"""The site: `sphinx-build -W docs site`. It holds all scripts and fonts that it needs, so it works offline."""

import inspect
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from jax_lstm.version import __version__

project, author, copyright = "jax_lstm", "The jax_lstm developers", "The jax_lstm developers"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that name none
nb_execution_mode = "off"  # the tests run the notebooks; the site shows the outputs stored in them

default_role = "code"  # single backticks in docstrings
autodoc_typehints = "none"  # they are in the signatures
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"jax_lstm {version}"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_copy_source = False
copybutton_exclude = ".gp, .go"


def signature(
    app: Any, what: str, name: str, found: Any, options: Any, arguments: str, returns: str
) -> tuple[str, str] | None:
    """The arguments of `__init__` for Flax modules, whose metaclass hides them."""
    if what != "class" or arguments != "(*args, **kwargs)":
        return None
    own = inspect.signature(found.__init__)
    parameters = [each.replace(annotation=each.empty) for each in list(own.parameters.values())[1:]]
    return str(inspect.Signature(parameters)), ""


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", signature)
