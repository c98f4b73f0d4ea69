"""Sidebar of the site: every page, in groups.

The pages stay free of directives, which a code host would show as they are.
"""

GROUPS = {
    "Start": ["docs/start", "docs/gallery", "docs/coming-from"],
    "Notebooks": [
        "docs/notebooks/first_detector",
        "docs/notebooks/few_shots",
        "docs/notebooks/comparing_methods",
    ],
    "Learning": [
        "docs/guides/photographs",
        "docs/guides/settings",
        "docs/guides/auto",
        "docs/guides/few-photographs",
        "docs/guides/large-photographs",
        "docs/guides/many-products",
        "docs/guides/backbones",
        "docs/guides/cluster",
    ],
    "Inspecting": [
        "docs/guides/threshold",
        "docs/guides/explanations",
        "docs/guides/false-alarm",
        "docs/guides/changes",
        "docs/guides/comparing",
        "docs/guides/drift",
        "docs/guides/cluster-predict",
        "docs/guides/export",
        "docs/guides/integrations",
        "docs/guides/mlflow-and-hub",
        "docs/guides/labelling-tools",
    ],
    "On the line": [
        "docs/guides/inspection-line",
        "docs/guides/line",
        "docs/guides/cluster-serve",
        "docs/guides/offline",
        "docs/guides/operator",
        "docs/guides/quality",
        "docs/guides/results",
        "docs/guides/records",
        "SECURITY",
    ],
    "Methods": ["docs/methods/*"],
    "Reference": [
        "docs/settings",
        "docs/commands",
        "docs/python",
        "docs/service",
        "docs/json",
        "docs/file-format",
        "docs/plugins",
        "docs/engines",
        "docs/platforms",
        "docs/datasets",
        "docs/glossary",
    ],
    "Measured": [
        "docs/plots",
        "docs/results",
        "docs/performance",
        "docs/scale",
        "docs/benchmark",
        "benchmarks/README",
        "benchmarks/**",
    ],
    "Project": [
        "README",
        "docs/architecture",
        "CONTRIBUTING",
        "CHANGELOG",
        "docs/adr/*",
        "docs/**",
    ],
}
ROOT_PAGE = "docs/index"


def table_of_contents(name: str, pages: list[str]) -> str:
    """One group, as a hidden table of contents; with `*` the pages that no group has named."""
    lines = ["```{toctree}", ":hidden:", ":glob:", f":caption: {name}", ""]
    return "\n".join([*lines, *(f"/{page}" for page in pages), "```", ""])


def add_groups(_app, page: str, source: list[str]) -> None:
    """Append the groups to the first page, while Sphinx reads it."""
    if page == ROOT_PAGE:
        groups = (table_of_contents(name, pages) for name, pages in GROUPS.items())
        source[0] += "\n" + "\n".join(groups)


def setup(app) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("source-read", add_groups)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
