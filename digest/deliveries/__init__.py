"""The ledger: fill, claim, hand over, record. The only place that knows SQL dialects."""

from digest.deliveries.books import Balance, Tally, balance_of, cancel, pause, progress, resume, settle
from digest.deliveries.claims import claim, mark, record
from digest.deliveries.filling import Share, open_mailing
from digest.deliveries.handing import deliver, run_batch
from digest.deliveries.owners import owner_name
from digest.deliveries.proofs import proof_of, proof_value
from digest.deliveries.recovery import close_late, next_due, recover, requeue

__all__ = [
    "Balance", "Share", "Tally", "balance_of", "cancel", "claim", "close_late", "deliver", "mark", "next_due",
    "open_mailing", "owner_name", "pause", "progress", "proof_of", "proof_value", "record", "recover", "requeue", "resume",
    "run_batch", "settle",
]  # fmt: skip
