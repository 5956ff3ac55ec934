"""The tables of the press, one file for each family. A row is what is stored; the values of digest.values are what the stations hand each other."""

from digest.models.cadences import CadenceRow, LeaderRow, StationRow
from digest.models.deliveries import BatchRow, DeliveryRow, EventRow, MailingRow, SenderRow, ServiceRow
from digest.models.editions import DigestRow, EditionRow, EditionVersionRow, SlotRow
from digest.models.house import AlarmRow, AuditRow, QuietRow
from digest.models.proofs import LinkRow, OnceRow, ProofRow, TallyRow
from digest.models.stories import ClusterRow, SourceRow, StoryRow, TopicRow
from subscribers.models import (  # one metadata holds every table of the house
    ActivityRow,
    CountRow,
    DeedRow,
    ImportBlockRow,
    ImportRow,
    SegmentRow,
    SignupRow,
    SubscriberRow,
    SubscriberTopicRow,
    SubscriptionRow,
    SuppressionRow,
    TrackingConsentRow,
    WordingRow,
)

__all__ = [
    "ActivityRow", "AlarmRow", "AuditRow", "BatchRow", "CadenceRow", "ClusterRow", "CountRow", "DeedRow", "DeliveryRow",
    "DigestRow", "EditionRow", "EditionVersionRow", "EventRow", "ImportBlockRow", "ImportRow", "LeaderRow", "LinkRow",
    "MailingRow", "OnceRow", "ProofRow", "QuietRow", "SegmentRow", "SenderRow", "ServiceRow", "SignupRow", "SlotRow",
    "SourceRow", "StationRow", "StoryRow", "SubscriberRow", "SubscriberTopicRow", "SubscriptionRow", "SuppressionRow",
    "TallyRow", "TopicRow", "TrackingConsentRow", "WordingRow",
]  # fmt: skip
