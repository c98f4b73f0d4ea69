"""Equations as MathML, written when the site is built: no script draws them in the browser."""

from docutils import nodes
from latex2mathml.converter import convert


def write_inline(writer, node: nodes.Node) -> None:
    """An equation within a sentence."""
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def write_block(writer, node: nodes.Node) -> None:
    """An equation on a line of its own, which scrolls where the screen is narrow."""
    equation = convert(node.astext(), display="block")
    writer.body.append(f'<div class="equation">{equation}</div>')
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
