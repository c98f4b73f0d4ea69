"""All exceptions and warnings.

    PatchbankError
    ├── ParameterError   a setting or argument is out of range, unknown, or at odds with another
    │   └── VariableError   an environment variable has a value that cannot be used
    ├── ShapeError       an array has not the axes, size or values that the function needs
    ├── DataError        a folder, data set or image is not what it should be
    │   ├── ImageError   one image cannot be read
    │   │   └── ImageTypeError  an object or an array is no image: another type
    │   └── NoProductError  a photograph shows none of the products of a router
    ├── BackboneError    a backbone or one of its layers is not there, or not usable
    ├── DetectorFileError  a .patchbank file is damaged, foreign, or newer than this program
    ├── ClusterError     a cluster does not answer, or its processes die again and again
    └── GuardError       an update would lose defects that were found before

    UserWarning
    ├── CalibrationWarning  there are too few good images for the false-alarm rate
    ├── PhotographWarning   photographs that are learned are black, alike, odd, or left out
    └── PluginWarning       an installed package has a part that cannot be used

A message is one line: what was expected, what came, what to do.
"""

from __future__ import annotations

from typing import Any


class PatchbankError(Exception):
    """The root: catch this to catch everything that Patchbank raises on purpose."""


class ParameterError(PatchbankError, ValueError):
    """A setting or argument is out of range, unknown, or at odds with another."""


class VariableError(ParameterError):
    """An environment variable has a value that cannot be used, whatever the photograph."""


class ShapeError(PatchbankError, ValueError):
    """An array has not the axes, size or values that the function needs."""


class DataError(PatchbankError):
    """A folder, data set or image is not what it should be."""


class ImageError(DataError):
    """One image cannot be read."""


class ImageTypeError(ImageError, TypeError):
    """An object is no image, or an array has numbers of a type that images do not have."""


class NoProductError(DataError):
    """A photograph shows none of the products of a router."""

    def __init__(self, message: str, route: Any = None) -> None:
        super().__init__(message, route)
        self.route = route
        """The `Route`: which product is nearest, and how far."""

    def __str__(self) -> str:
        return str(self.args[0])


class BackboneError(PatchbankError):
    """A backbone or one of its layers is not there, or not usable."""


class DetectorFileError(PatchbankError):
    """A detector file is damaged, foreign, or newer than this program."""


class ClusterError(PatchbankError):
    """A cluster does not answer, or its processes die again and again."""


class GuardError(PatchbankError):
    """An update would lose defects that were found before; nothing was changed."""

    def __init__(
        self, message: str, lost: tuple[str, ...] = (), unread: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, lost, unread)
        self.lost = lost
        """Names of the defects that would not be found any more."""
        self.unread = unread
        """Errors of photographs that could not be inspected."""

    def __str__(self) -> str:
        return str(self.args[0])


class CalibrationWarning(UserWarning):
    """There are fewer good images than the false-alarm rate can resolve."""


class PhotographWarning(UserWarning):
    """Photographs that are learned are black, of one colour, doubled, left out, or clearly odd."""


class PluginWarning(UserWarning):
    """An installed package has a method or backbone source that cannot be used."""
