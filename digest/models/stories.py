"""The tables of stories: where they come from, what they say, which tell one event, and the topics that editors own."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from digest.models.columns import json_of


class SourceRow(SQLModel, table=True):
    """Where stories come from, how far it is trusted, and how it fared."""

    __tablename__ = "source"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=80, unique=True)
    kind: str = Field(max_length=16)  # a file of digest/sources
    location: str = Field(max_length=2000, unique=True)
    publisher: str = Field(default="", max_length=120)
    section: str = Field(default="", max_length=80)  # for stories that state none
    language: str = Field(default="", max_length=16)
    trust: float = 0.5
    enabled: bool = True
    etag: str = ""
    last_modified: str = ""
    body_hash: str = Field(default="", max_length=64)
    last_tried_at: datetime | None = None
    last_good_at: datetime | None = None
    last_count: int = 0
    failures: int = 0
    error: str = ""
    retry_at: datetime | None = None
    added_at: datetime


class ClusterRow(SQLModel, table=True):
    """One event. Its id is carried from run to run, so that "already told" survives a new clustering."""

    __tablename__ = "cluster"

    id: int | None = Field(default=None, primary_key=True)
    headline: str = Field(max_length=500)
    first_seen_at: datetime
    last_seen_at: datetime


class StoryRow(SQLModel, table=True):
    """One article as its source told it; fields as in values.Story. `key` is its identity (digest.identity)."""

    __tablename__ = "story"
    __table_args__ = (Index("ix_story_window", "section_key", "seen_at"),)

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id", index=True, ondelete="CASCADE")
    key: str = Field(max_length=64, unique=True)
    guid: str = Field(default="", max_length=500)
    headline_key: str = Field(max_length=64, index=True)
    section: str = Field(default="", max_length=80)
    section_key: str = Field(default="", max_length=80)
    headline: str = Field(max_length=500)
    teaser: str = ""
    cut_teaser: str = ""
    body: str = ""
    url: str = Field(max_length=2000)
    image: str = Field(default="", max_length=2000)
    image_alt: str = Field(default="", max_length=500)
    author: str = Field(default="", max_length=200)
    language: str = Field(default="", max_length=16)
    topics: list[str] = json_of(list)
    categories: list[str] = json_of(list)
    position: int = 0
    page_size: int = 1
    stub: bool = False
    published_at: datetime | None = None
    updated_at: datetime | None = None
    seen_at: datetime  # when we first met it
    changed_at: datetime  # when its text last changed
    content_hash: str = Field(max_length=64)
    cluster_id: int | None = Field(default=None, foreign_key="cluster.id", index=True, ondelete="SET NULL")
    duplicate_of: int | None = Field(default=None, foreign_key="story.id", index=True, ondelete="SET NULL")


class TopicRow(SQLModel, table=True):
    """A topic that editors own: its kickers by language, and the words and categories that lead to it."""

    __tablename__ = "topic"

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    labels: dict[str, str] = json_of(dict)
    words: list[str] = json_of(list)
    categories: list[str] = json_of(list)
