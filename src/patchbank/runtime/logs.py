"""The logger of the package, ``patchbank``: silent unless the program that uses it wants it.

INFO has the steps that take long, WARNING the photographs that cannot be read or look wrong.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("patchbank")
LOGGER.addHandler(logging.NullHandler())
