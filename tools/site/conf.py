"""Settings of the site for Sphinx: `make docs` (docs/adr/0046)."""

import os
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "Patchbank"
author = PROJECT["authors"][0]["name"]
release = version = PROJECT["version"]
copyright = author

extensions = ["myst_nb", "equations", "files", "navigation"]
# The source folder is the repository, so that links between pages are those of the code host.
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "benchmarks/**.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = ["docs/pictures/**", "**/node_modules", ".*", "build", "src", "tests", "tools"]
source_suffix = {".md": "myst-nb", ".py": "myst-nb"}
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = os.environ.get("PATCHBANK_NOTEBOOKS", "force")  # `off` leaves outputs out
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = "Patchbank"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
