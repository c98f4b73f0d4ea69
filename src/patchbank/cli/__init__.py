"""The command line: parse, call one verb, print."""

from patchbank.cli.app import main

__all__ = ["main"]
