"""Declarations of all settings: everything that needs to know a setting reads its declaration.

    setting(448, "Size to which ...", rule=Size(), group=PHOTOGRAPH)     a declaration
        |
        +-- Group.__post_init__     checks and normalises each value by its rule
        +-- the dataclass           keyword arguments of the recipes, typed for editors
        +-- to_mapping              names and values of a record, for JSON
        +-- detector.packing        keys in the detector file: the names, unless renamed
        +-- cli.setting_options     options of `patchbank fit`, with range and default
        +-- tools/make_reference.py docs/settings.md
        +-- tests/contract          every right value is kept, every wrong one is refused by name

`groups` has the groups that methods share: input, augmentation, patches, map, calibration, seed.
The record of a method is flat: it inherits from those groups and from the method's own parameters.
Code that needs one group receives that group alone (`part_of`).
"""

from patchbank.settings.declaration import Setting, redeclared, setting, settings_of
from patchbank.settings.groups import (
    SIZES,
    AugmentationSettings,
    CalibrationSettings,
    InputSettings,
    MapSettings,
    PatchSettings,
    SeedSettings,
    Settings,
    given_with_tiles,
)
from patchbank.settings.record import Group, part_of, with_preset

__all__ = [
    "SIZES",
    "AugmentationSettings",
    "CalibrationSettings",
    "Group",
    "InputSettings",
    "MapSettings",
    "PatchSettings",
    "SeedSettings",
    "Setting",
    "Settings",
    "given_with_tiles",
    "part_of",
    "redeclared",
    "setting",
    "settings_of",
    "with_preset",
]
