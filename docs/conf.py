"""Configuration of the site, which ``make docs`` builds. Nothing here needs the network."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import lrcore

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE)]

project = "lrcore"
author = "the lrcore developers"
release = version = lrcore.__version__
html_title = f"lrcore {version}"

# The address of the repository stands in pyproject.toml alone; without one there is no link.
repository = re.search(
    r'^\[project\.urls\]\n(?:.+\n)*?Repository = "(.+)"',
    (HERE.parent / "pyproject.toml").read_text(),
    re.MULTILINE,
)

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    # Our own: pages made from the registries, names in backticks, equations without JavaScript.
    "pages",
    "names",
    "mathml",
]
templates_path = ["_templates"]
exclude_patterns = ["build", "**/GALLERY_HEADER.rst"]
default_role = "name"
nitpicky = True
# A report may have any headings.
suppress_warnings = ["myst.header", "config.cache"]

autodoc_typehints = "none"
# The pages of `lrcore.torch` need no torch: its classes then stand for those that ours derive from.
autodoc_mock_imports = [] if find_spec("torch") else ["torch"]
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 130)]
plot_rcparams = {"figure.constrained_layout.use": True, "axes.grid": True, "grid.alpha": 0.3}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "generated/examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_memory": False,
    "min_reported_time": 10**6,
    "download_all_examples": False,
}

# What is copied is what one types, without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_sidebars = {"index": [], "command_line": [], "changelog": []}
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "icon_links": [{"name": "Repository", "url": repository[1], "icon": "fa-solid fa-code-branch"}]
    if repository
    else [],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "the lrcore developers, BSD-3-Clause"  # noqa: A001
