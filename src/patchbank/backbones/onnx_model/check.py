"""The check of an ONNX model before anything runs it: operators, and where its weights are."""

from __future__ import annotations

from patchbank.backbones.onnx_model.graph import Graph, read_graph
from patchbank.backbones.onnx_model.operators import OPERATORS
from patchbank.backbones.onnx_model.wire import WireError
from patchbank.errors import BackboneError

MAX_NODES = 50_000
"""Operators of the largest network; known ones have up to some thousand."""


def checked_graph(content: bytes, name: str) -> Graph:
    """Read the graph of a model, and check that it is of the kind that a feature network is.

    Raises:
        BackboneError: not an ONNX model, weights in another file, or an operator that a feature
            network does not have.
    """
    try:
        graph = read_graph(content)
    except WireError as error:
        raise BackboneError(f"{name}: expected an ONNX model, got: {error}") from None
    if any(tensor.is_external for tensor in graph.all_constants):
        raise BackboneError(
            f"{name}: expected its weights in the model, got them in another file; export it "
            "again with its weights in it (torch.onnx.export(..., external_data=False))"
        )
    if graph.has_nan:
        raise BackboneError(f"{name}: expected weights that are numbers, got NaN in them")
    if graph.extras:
        raise BackboneError(
            f"{name}: expected a network without {graph.extras[0]}, got one with them; export it "
            "again for inference"
        )
    if len(graph.nodes) > MAX_NODES:
        raise BackboneError(
            f"{name}: expected at most {MAX_NODES:,} operators, got {len(graph.nodes):,}"
        )
    for node in graph.nodes:
        known = node.domain == "" and node.operator in OPERATORS
        if not known or node.has_graph:
            operator = ".".join(part for part in (node.domain, node.operator) if part)[:60]
            raise BackboneError(
                f"{name}: expected operators of a feature network, got {operator!r}; export the "
                "network up to its feature maps, without branches, loops and post-processing"
            )
    return graph
