"""The audit tables: every file ever seen, every slice that must be recomputed, and who may write."""

from salesmart_assets.ledger.files import File, FileResult, Ledger, Registration, Unfinished
from salesmart_assets.ledger.lease import Lease, WriterLease
from salesmart_assets.ledger.locations import Location
from salesmart_assets.ledger.review import Review, Tally
from salesmart_assets.ledger.slices import PendingSlice

__all__ = [
    "File",
    "FileResult",
    "Lease",
    "Ledger",
    "Location",
    "PendingSlice",
    "Registration",
    "Review",
    "Tally",
    "Unfinished",
    "WriterLease",
]
