"""A client of the service: inspect photographs over HTTP, with retries that inspect once.

with Client("http://127.0.0.1:8760") as service:
    verdict = service.inspect("bolts/new/17.png", "bolts", serial_number="A-1017")
    verdict.is_good, verdict.score, verdict.regions
"""

from patchbank.client.client import Client
from patchbank.client.errors import ClientError, NotInspected, Unread
from patchbank.client.verdict import Product, Region, Verdict

__all__ = ["Client", "ClientError", "NotInspected", "Product", "Region", "Unread", "Verdict"]
