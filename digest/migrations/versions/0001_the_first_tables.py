"""The first tables"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("who", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("did", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("subject", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_subject", ["subject", "subject_id"], unique=False)

    op.create_table(
        "cluster",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("headline", sqltypes.AutoString(length=500), nullable=False),
        sa.Column("first_seen_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("last_seen_at", sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster")),
    )
    op.create_table(
        "delivery",
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("target", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("proof_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sqltypes.AutoString(length=20), nullable=False),
        sa.Column("reason", sqltypes.AutoString(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=True),
        sa.Column("handed_at", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "state = 'queued' OR state = 'claimed' OR state = 'handing' OR state = 'accepted' OR state = 'ambiguous' OR state = 'deferred' OR state = 'failed' OR state = 'suppressed' OR state = 'cancelled' OR state = 'skipped' OR state = 'expired' OR state = 'delivered' OR state = 'bounced' OR state = 'dropped' OR state = 'complained' OR state = 'closed_unconfirmed'",
            name=op.f("ck_delivery_state"),
        ),
        sa.PrimaryKeyConstraint("month", "mailing_id", "number", name="pk_delivery"),
        sa.UniqueConstraint("month", "mailing_id", "subscriber_id", "channel", "target", name="uq_delivery_once"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_deferred",
            ["mailing_id", "next_at"],
            unique=False,
            sqlite_where=sa.text("state = 'deferred'"),
            postgresql_where=sa.text("state = 'deferred'"),
        )

    op.create_table(
        "digest",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("name", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("section", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("zone", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("from_name", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("from_address", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("reply_to", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("postal_address", sqltypes.AutoString(length=400), nullable=False),
        sa.Column("wordmark", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("colours", sa.JSON(), nullable=False),
        sa.Column("look", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("segments", sa.JSON(), nullable=False),
        sa.Column("share", sa.JSON(), nullable=False),
        sa.Column("utm", sa.JSON(), nullable=False),
        sa.Column("image_hosts", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("short", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("deadline", sqltypes.AutoString(length=5), nullable=False),
        sa.Column("fallback", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("created_at", sqltypes.UTCDateTime(), nullable=False),
        sa.CheckConstraint("fallback IN ('send', 'hold')", name=op.f("ck_digest_fallback")),
        sa.CheckConstraint("short IN ('send', 'skip')", name=op.f("ck_digest_short")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_digest")),
        sa.UniqueConstraint("slug", name=op.f("uq_digest_slug")),
    )
    op.create_table(
        "segment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("rule", sqltypes.AutoString(length=2000), nullable=False),
        sa.Column("description", sqltypes.AutoString(length=400), nullable=False),
        sa.Column("updated_at", sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        sa.UniqueConstraint("name", name=op.f("uq_segment_name")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("location", sqltypes.AutoString(length=2000), nullable=False),
        sa.Column("publisher", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("section", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("trust", sa.Float(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("etag", sqltypes.AutoString(), nullable=False),
        sa.Column("last_modified", sqltypes.AutoString(), nullable=False),
        sa.Column("body_hash", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("last_tried_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("last_good_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("last_count", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sqltypes.AutoString(), nullable=False),
        sa.Column("retry_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("added_at", sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("location", name=op.f("uq_source_location")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("email", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("email_key", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("email_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sqltypes.AutoString(length=200), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("zone", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("country", sqltypes.AutoString(length=2), nullable=True),
        sa.Column("plan", sqltypes.AutoString(length=64), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("joined_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("updated_at", sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("email_hash", name=op.f("uq_subscriber_email_hash")),
        sa.UniqueConstraint("email_key", name=op.f("uq_subscriber_email_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_subscriber_public_id")),
    )
    op.create_table(
        "suppression",
        sa.Column("email_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("reason", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("since", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("note", sqltypes.AutoString(length=400), nullable=False),
        sa.PrimaryKeyConstraint("email_hash", name=op.f("pk_suppression")),
    )
    op.create_table(
        "topic",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("slug", name=op.f("uq_topic_slug")),
    )
    op.create_table(
        "edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("name", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("state", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sqltypes.AutoString(length=250), nullable=False),
        sa.Column("preheader", sqltypes.AutoString(length=250), nullable=False),
        sa.Column("intro", sqltypes.AutoString(length=1000), nullable=False),
        sa.Column("deadline_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("fallback", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("corrects_id", sa.Integer(), nullable=True),
        sa.Column("reason", sqltypes.AutoString(), nullable=False),
        sa.Column("content_hash", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("approved_by", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("approved_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("sent_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("created_at", sqltypes.UTCDateTime(), nullable=False),
        sa.CheckConstraint("fallback IN ('send', 'hold')", name=op.f("ck_edition_fallback")),
        sa.CheckConstraint("kind IN ('daily', 'weekly', 'breaking', 'correction')", name=op.f("ck_edition_kind")),
        sa.CheckConstraint(
            "state IN ('draft', 'review', 'approved', 'sending', 'paused', 'sent', 'held', 'skipped', 'cancelled')",
            name=op.f("ck_edition_state"),
        ),
        sa.ForeignKeyConstraint(["corrects_id"], ["edition.id"], name=op.f("fk_edition_corrects_id_edition")),
        sa.ForeignKeyConstraint(["digest_id"], ["digest.id"], name=op.f("fk_edition_digest_id_digest")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition")),
        sa.UniqueConstraint("digest_id", "kind", "local_date", "name", name="uq_edition_occurrence"),
    )
    op.create_table(
        "story",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("guid", sqltypes.AutoString(length=500), nullable=False),
        sa.Column("headline_key", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("section", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("section_key", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("headline", sqltypes.AutoString(length=500), nullable=False),
        sa.Column("teaser", sqltypes.AutoString(), nullable=False),
        sa.Column("cut_teaser", sqltypes.AutoString(), nullable=False),
        sa.Column("body", sqltypes.AutoString(), nullable=False),
        sa.Column("url", sqltypes.AutoString(length=2000), nullable=False),
        sa.Column("image", sqltypes.AutoString(length=2000), nullable=False),
        sa.Column("image_alt", sqltypes.AutoString(length=500), nullable=False),
        sa.Column("author", sqltypes.AutoString(length=200), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("page_size", sa.Integer(), nullable=False),
        sa.Column("stub", sa.Boolean(), nullable=False),
        sa.Column("published_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("updated_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("seen_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("changed_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("content_hash", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("cluster_id", sa.Integer(), nullable=True),
        sa.Column("duplicate_of", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["cluster.id"], name=op.f("fk_story_cluster_id_cluster"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["duplicate_of"], ["story.id"], name=op.f("fk_story_duplicate_of_story"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_story_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_story")),
        sa.UniqueConstraint("key", name=op.f("uq_story_key")),
    )
    with op.batch_alter_table("story", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_story_cluster_id"), ["cluster_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_story_duplicate_of"), ["duplicate_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_story_headline_key"), ["headline_key"], unique=False)
        batch_op.create_index(batch_op.f("ix_story_source_id"), ["source_id"], unique=False)
        batch_op.create_index("ix_story_window", ["section_key", "seen_at"], unique=False)

    op.create_table(
        "subscriber_topic",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("topic", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("wish", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_subscriber_topic_subscriber_id_subscriber"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "topic", name=op.f("pk_subscriber_topic")),
    )
    op.create_table(
        "subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("channel", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("device", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("state", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("paused_until", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("consent_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("consent_source", sqltypes.AutoString(length=200), nullable=False),
        sa.Column("consent_wording", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("confirmed_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("left_at", sqltypes.UTCDateTime(), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'push')", name=op.f("ck_subscription_channel")),
        sa.CheckConstraint("state IN ('pending', 'active', 'paused', 'left')", name=op.f("ck_subscription_state")),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_subscription_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_subscription_subscriber_id_subscriber"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.UniqueConstraint("subscriber_id", "digest_id", "channel", "device", name="uq_subscription_wish"),
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index(
            "ix_subscription_audience", ["digest_id", "channel", "subscriber_id", "device"], unique=False
        )

    op.create_table(
        "edition_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("content_hash", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("by", sqltypes.AutoString(length=120), nullable=False),
        sa.Column("at", sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_edition_version_edition_id_edition"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition_version")),
        sa.UniqueConstraint("edition_id", "number", name="uq_edition_version_number"),
    )
    op.create_table(
        "mailing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("candidates", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("date", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("expires_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("filled_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("finished_at", sqltypes.UTCDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('edition', 'service')", name=op.f("ck_mailing_kind")),
        sa.CheckConstraint("state IN ('sending', 'paused', 'done', 'cancelled')", name=op.f("ck_mailing_state")),
        sa.ForeignKeyConstraint(["edition_id"], ["edition.id"], name=op.f("fk_mailing_edition_id_edition")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailing")),
        sa.UniqueConstraint("edition_id", name="uq_mailing_edition"),
    )
    op.create_table(
        "proof",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("channel", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("segment", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("profile", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("look", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("subject", sqltypes.AutoString(length=250), nullable=False),
        sa.Column("preheader", sqltypes.AutoString(length=250), nullable=False),
        sa.Column("html", sqltypes.AutoString(), nullable=False),
        sa.Column("text", sqltypes.AutoString(), nullable=False),
        sa.Column("push", sqltypes.AutoString(), nullable=False),
        sa.Column("compiled", sa.LargeBinary(), nullable=False),
        sa.Column("blanks", sa.Integer(), nullable=False),
        sa.Column("content_hash", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("printed_at", sqltypes.UTCDateTime(), nullable=False),
        sa.CheckConstraint("channel IN ('email', 'push', 'web')", name=op.f("ck_proof_channel")),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_proof_edition_id_edition"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proof")),
        sa.UniqueConstraint(
            "edition_id", "version", "channel", "segment", "language", "profile", "look", name="uq_proof_variant"
        ),
    )
    op.create_table(
        "slot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("story_id", sa.Integer(), nullable=False),
        sa.Column("cluster_id", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kicker", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("headline", sqltypes.AutoString(length=500), nullable=False),
        sa.Column("teaser", sqltypes.AutoString(), nullable=False),
        sa.Column("topic", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("signals", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("update", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["cluster.id"], name=op.f("fk_slot_cluster_id_cluster"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_slot_edition_id_edition"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["story_id"], ["story.id"], name=op.f("fk_slot_story_id_story")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot")),
        sa.UniqueConstraint("edition_id", "story_id", name="uq_slot_story"),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailing_id", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("proof_id", sa.Integer(), nullable=False),
        sa.Column("channel", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("transport", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("first_number", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("state", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("owner", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('ready', 'claimed', 'handing', 'done')", name=op.f("ck_batch_state")),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailing.id"], name=op.f("fk_batch_mailing_id_mailing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["proof_id"], ["proof.id"], name=op.f("fk_batch_proof_id_proof")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index("ix_batch_due", ["state", "priority", "not_before", "id"], unique=False)
        batch_op.create_index("ix_batch_mailing", ["mailing_id", "state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.drop_index("ix_batch_mailing")
        batch_op.drop_index("ix_batch_due")

    op.drop_table("batch")
    op.drop_table("slot")
    op.drop_table("proof")
    op.drop_table("mailing")
    op.drop_table("edition_version")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_index("ix_subscription_audience")

    op.drop_table("subscription")
    op.drop_table("subscriber_topic")
    with op.batch_alter_table("story", schema=None) as batch_op:
        batch_op.drop_index("ix_story_window")
        batch_op.drop_index(batch_op.f("ix_story_source_id"))
        batch_op.drop_index(batch_op.f("ix_story_headline_key"))
        batch_op.drop_index(batch_op.f("ix_story_duplicate_of"))
        batch_op.drop_index(batch_op.f("ix_story_cluster_id"))

    op.drop_table("story")
    op.drop_table("edition")
    op.drop_table("topic")
    op.drop_table("suppression")
    op.drop_table("subscriber")
    op.drop_table("source")
    op.drop_table("segment")
    op.drop_table("digest")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_deferred",
            sqlite_where=sa.text("state = 'deferred'"),
            postgresql_where=sa.text("state = 'deferred'"),
        )

    op.drop_table("delivery")
    op.drop_table("cluster")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_subject")

    op.drop_table("audit")
