"""Those who ask to become readers: how many wait, whether a flood of them is braked, and what is in doubt of what they were sent."""

from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest.checkup.finding import Finding
from digest.models import AuditRow, DeliveryRow, ServiceRow, SignupRow
from digest.settings import Settings
from digest.values import DeliveryState
from subscribers.signup import Limits, braked

A_DAY = timedelta(days=1)


def look(session: Session, settings: Settings, now: datetime) -> Finding:
    waiting = session.exec(select(func.count(col(SignupRow.id)))).one()
    doubtful = session.exec(
        select(func.count())
        .select_from(DeliveryRow)
        .where(
            DeliveryRow.state == DeliveryState.AMBIGUOUS, col(DeliveryRow.mailing_id).in_(select(ServiceRow.mailing_id))
        )
    ).one()
    words = f"{waiting:,} wait for their word, {doubtful:,} service messages unconfirmed"
    limits = Limits(block=settings.signup_block, brake=settings.signup_brake)
    if braked(session.connection(), limits, now=now):
        return Finding(
            "sign-ups", "bad", f"braked: {limits.brake:,} were asked within the hour, and nobody new is written to. If they are "
            f"true readers, raise DIGEST_SIGNUP_BRAKE; {words}",
        )  # fmt: skip
    tripped = session.exec(
        select(func.count(col(AuditRow.id))).where(AuditRow.did == "brake sign-ups", AuditRow.at > now - A_DAY)
    ).one()
    return (
        Finding("sign-ups", "warn", f"braked {tripped} times today; {words}")
        if tripped
        else Finding("sign-ups", "good", words)
    )
