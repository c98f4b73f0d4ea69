"""ONNX models as bytes: what is in one, whether it is harmless, and weights from a second file.

ONNX Runtime opens whatever it is given; models come with files from elsewhere, so they are read
here first.  The package `onnx` is not needed for it.
"""
