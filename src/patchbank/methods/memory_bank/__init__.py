"""The memory bank: patches of good photographs that are kept, and the distances of others to them.

What the methods with a bank share; they differ in how they turn feature maps into patches.
"""

from patchbank.methods.memory_bank.method import method_with_bank
from patchbank.methods.memory_bank.model import BankModel, Embed
from patchbank.methods.memory_bank.per_map import MapBank, MapBanks, MapPart
from patchbank.methods.memory_bank.per_map_method import with_bank_per_map
from patchbank.methods.memory_bank.settings import BankParameters, BankSettings

__all__ = [
    "BankModel",
    "BankParameters",
    "BankSettings",
    "Embed",
    "MapBank",
    "MapBanks",
    "MapPart",
    "method_with_bank",
    "with_bank_per_map",
]
