"""The graph of a detector, node by node: what the library computes, as operators of ONNX."""
