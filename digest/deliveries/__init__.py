"""The ledger: fill, claim, hand over, record. The only place that knows SQL dialects."""

from digest.deliveries.books import (
    Balance,
    Readers,
    Tally,
    Wave,
    balance_of,
    cancel,
    handed_since,
    pause,
    progress,
    readers_of_versions,
    resume,
    settle,
    waves_of,
)
from digest.deliveries.claims import SERVICE, claim
from digest.deliveries.filling import open_mailing
from digest.deliveries.glance import Glance, glances, in_doubt, returned, services_waiting
from digest.deliveries.handing import deliver, run_batch
from digest.deliveries.hearing import SAYS, Mailed, Word, mailings_of, move, rows_of, word
from digest.deliveries.marking import mark, record
from digest.deliveries.moving import move_on, waiting_proofs, wave_after
from digest.deliveries.owners import owner_name
from digest.deliveries.proofs import proof_of, proof_value
from digest.deliveries.recovery import anything_due, close_late, next_due, recover, requeue
from digest.deliveries.replaying import Delivered, delivered
from digest.deliveries.rights import after_restore, newest_stamp, restored_at
from digest.deliveries.rows import MISSED, Share
from digest.deliveries.services import due_services, open_service, resend_services
from digest.deliveries.tables import insert_once, spelled, stand_aside
from digest.deliveries.unconfirmed import Doubt, Doubtful, decide, doubtful, doubts

__all__ = [
    "MISSED", "SAYS", "SERVICE", "Balance", "Delivered", "Doubt", "Doubtful", "Glance", "Mailed", "Readers", "Share", "Tally", "Wave",
    "Word", "after_restore", "anything_due", "balance_of", "cancel", "claim", "close_late", "decide", "deliver",
    "delivered", "doubtful", "doubts", "due_services", "glances", "handed_since", "in_doubt", "insert_once", "mailings_of",
    "mark", "move", "move_on", "newest_stamp", "next_due", "open_mailing", "open_service", "owner_name", "pause", "progress",
    "proof_of", "proof_value", "readers_of_versions", "record", "recover", "requeue", "resend_services", "restored_at", "resume", "returned",
    "rows_of", "run_batch", "services_waiting", "settle", "spelled", "stand_aside", "waiting_proofs", "wave_after", "waves_of", "word",
]  # fmt: skip
