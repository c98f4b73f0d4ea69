"""Links from pages into the repository: a folder becomes a page that lists its files.

Single files are copied by Sphinx itself. So the site is whole without the code host.
"""

import html
import posixpath
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

FOLDERS = "files"
"""Part of the site with the files of linked folders."""
NOTEBOOK = ".py"
BEFORE_COPYING = 100
"""Priority of a handler that runs before Sphinx collects the files to copy, which has 500."""


def link_to_repository(app, document: nodes.document) -> None:
    """Resolve links to folders, and to files that are no pages, before Sphinx copies files."""
    page = app.env.docname
    for node in list(document.findall(addnodes.pending_xref)):
        if node["reftype"] != "myst":
            continue
        if node.get("refdomain") == "doc":
            if node["reftarget"] not in app.env.found_docs:  # a script has the suffix of notebooks
                target = f"/{node['reftarget']}{NOTEBOOK}"
                node.replace_self(copied(node, page, target))
        elif folder := folder_of(app.srcdir, page, node["reftarget"]):
            app.env.patchbank_folders.add(folder)
            uri = app.builder.get_relative_uri(page, f"{FOLDERS}/{folder}/index")
            node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def copied(node: nodes.Element, page: str, target: str) -> nodes.Element:
    """A link whose target Sphinx copies into the site."""
    return addnodes.download_reference(
        "", "", *node.children, refdoc=page, reftarget=target, reftype="myst"
    )


def folder_of(root: Path, page: str, target: str) -> str:
    """The folder of the repository that a link of a page leads to; "" if it is none."""
    folder = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
    return folder if not folder.startswith("..") and Path(root, folder).is_dir() else ""


def pages_of_folders(app) -> Iterator[tuple[str, dict[str, str], str]]:
    """A page for each linked folder, and copies of its files next to it."""
    for folder in sorted(app.env.patchbank_folders):
        output = Path(app.outdir, FOLDERS, folder)
        lines = []
        for name in tracked(app.srcdir, folder):
            copy = output / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(app.srcdir, folder, name), copy)
            lines.append(f'<li><a href="{html.escape(name)}">{html.escape(name)}</a></li>')
        body = f"<h1>{html.escape(folder)}</h1>\n<ul>\n" + "\n".join(lines) + "\n</ul>"
        yield f"{FOLDERS}/{folder}/index", {"title": folder, "body": body}, "page.html"


def tracked(root: Path, folder: str) -> list[str]:
    """Files below a folder that are part of the project."""
    command = ["git", "-C", str(Path(root, folder)), "ls-files"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def begin(_app, env, _names) -> None:
    """Forget the folders of an earlier build."""
    env.patchbank_folders = set()


def lead_to_first_page(app, error: Exception | None) -> None:
    """The address of the site itself leads to its first page."""
    if error is None:
        first = f"{app.config.root_doc}.html"
        Path(app.outdir, "index.html").write_text(
            f'<!doctype html><meta charset="utf-8"><title>{app.config.html_title}</title>\n'
            f'<meta http-equiv="refresh" content="0; url={first}">\n'
            f'<a href="{first}">{app.config.html_title}</a>\n',
            encoding="utf-8",
        )


def setup(app) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("env-before-read-docs", begin)
    app.connect("doctree-read", link_to_repository, priority=BEFORE_COPYING)
    app.connect("html-collect-pages", pages_of_folders)
    app.connect("build-finished", lead_to_first_page)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
