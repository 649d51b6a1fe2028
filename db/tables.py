"""The tables (schema `hangtag_data`). Other services read the views of schema `hangtag`."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "hangtag_data"
EMBEDDING_DIM = 256

NOW = text("now()")
Timestamp = TIMESTAMP(timezone=True)


class Base(DeclarativeBase):
    """Common metadata: one schema, named constraints."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        },
    )


class Upload(Base):
    """One picture that a producer handed in; the row is the truth, a message only a doorbell."""

    __tablename__ = "uploads"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        CheckConstraint(
            "status in ('pending', 'processing', 'tagged', 'review', 'dead')", name="status"
        ),
        CheckConstraint("(status = 'processing') = (lease_until is not null)", name="lease"),
        CheckConstraint("(status = 'dead') = (error_code is not null)", name="reason"),
        CheckConstraint("attempt >= 0", name="attempt"),
        Index(
            "uploads_pending_idx",
            text("priority desc"),
            "available_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "uploads_lease_idx",
            "lease_until",
            postgresql_where=text("status = 'processing'"),
        ),
        Index("uploads_dead_idx", "finished_at", postgresql_where=text("status = 'dead'")),
    )

    id: Mapped[uuid.UUID] = mapped_column(
        UUID, primary_key=True, server_default=text("gen_random_uuid()")
    )
    source: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    uri: Mapped[str] = mapped_column(Text)
    #: Higher goes first; below zero is the backfill lane.
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'pending'"))
    #: How often the upload was claimed; the fence of every later write.
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    #: Attempts of an earlier life, before it came back from the dead; they do not count again.
    attempts_before: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    available_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    lease_until: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    claimed_by: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    #: What went wrong last, for people; on a dead upload the reason.
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    finished_at: Mapped[dt.datetime | None] = mapped_column(Timestamp)


class Label(Base):
    """A label of an attribute, with its parent in the category tree."""

    __tablename__ = "labels"
    __table_args__ = (UniqueConstraint("attribute", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    attribute: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"))


class ModelVersion(Base):
    """A trained model; its generation names the partition that holds its vectors."""

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("generation"),
        Index(
            "model_versions_active_idx",
            "active",
            unique=True,
            postgresql_where=text("active"),
        ),
    )

    version: Mapped[str] = mapped_column(Text, primary_key=True)
    generation: Mapped[int] = mapped_column(Integer, Identity(always=True))
    card: Mapped[dict[str, Any]] = mapped_column(JSONB)
    active: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    activated_at: Mapped[dt.datetime | None] = mapped_column(Timestamp)


class Prediction(Base):
    """What one model version said of one item."""

    __tablename__ = "predictions"

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    item: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    model_version: Mapped[str] = mapped_column(
        ForeignKey("model_versions.version"), primary_key=True
    )
    article_type: Mapped[str] = mapped_column(Text)
    #: Of the tag, as published: on photographs the chance that a coarse label admits it (decision
    #: 0009).
    confidence: Mapped[float] = mapped_column(REAL)
    decision: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    #: [[label, confidence], …] of the five likeliest article types.
    top5: Mapped[list[Any]] = mapped_column(JSONB)
    #: {attribute: {label, confidence}}, published or not.
    tags: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fashion_score: Mapped[float] = mapped_column(REAL)
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)


class Tag(Base):
    """A published tag: one label an attribute of an item."""

    __tablename__ = "tags"
    __table_args__ = (
        CheckConstraint("decided_by in ('model', 'operator')", name="decided_by"),
        CheckConstraint("confidence between 0 and 1", name="confidence"),
        Index("tags_attribute_label_idx", "attribute", "label"),
    )

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    item: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attribute: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float] = mapped_column(REAL)
    decided_by: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    decided_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)


class Embedding(Base):
    """A unit vector; narrow, partitioned by generation.

    Fresh vectors of generation N have the number -N, and no HNSW index; a janitor moves them to
    N, which has one. A trigger makes fresh what is written under N, and keeps one of both.
    The categories are the published ones (null while they are not), kept here so that a
    filtered search touches this table alone.
    """

    __tablename__ = "embeddings"
    __table_args__ = (
        PrimaryKeyConstraint("upload_id", "item", "generation"),
        CheckConstraint("abs(l2_norm(embedding) - 1) < 0.01", name="unit_length"),
        {"postgresql_partition_by": "LIST (generation)"},
    )

    generation: Mapped[int] = mapped_column(Integer)
    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id"))
    item: Mapped[int] = mapped_column(SmallInteger)
    embedding: Mapped[Any] = mapped_column(HALFVEC(EMBEDDING_DIM))
    article_type: Mapped[str | None] = mapped_column(Text)
    sub_category: Mapped[str | None] = mapped_column(Text)
    master_category: Mapped[str | None] = mapped_column(Text)


class Operator(Base):
    """A person who reviews; a lead sees the audit trail and reopens decisions, too."""

    __tablename__ = "operators"
    __table_args__ = (CheckConstraint("role in ('operator', 'lead')", name="role"),)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    password_hash: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    role: Mapped[str] = mapped_column(Text, server_default=text("'operator'"))


class ConsoleSession(Base):
    """An operator who is logged in; the cookie holds a token, this row its SHA-256."""

    __tablename__ = "console_sessions"
    __table_args__ = (Index(None, "expires_at"),)

    token_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    operator: Mapped[str] = mapped_column(ForeignKey("operators.name"))
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    expires_at: Mapped[dt.datetime] = mapped_column(Timestamp)


class LoginAttempt(Base):
    """How many log-ins failed in a row, a key of the throttle; it holds no name in clear."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index(None, "last_at"),)

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    blocked_until: Mapped[dt.datetime | None] = mapped_column(Timestamp)


class AuditEntry(Base):
    """Who did what and when in the console and with accounts; append-only by a trigger."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_actor_idx", "actor", text("id desc")),
        Index("audit_log_subject_idx", "subject", text("id desc")),
        Index("audit_log_action_idx", "action", text("id desc")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    #: The operator who acted; null where a program or an administrator did.
    actor: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    #: Whom or what it was done to: an operator's name, a label, a review item.
    subject: Mapped[str | None] = mapped_column(Text)
    upload_id: Mapped[uuid.UUID | None] = mapped_column(UUID)
    review_item_id: Mapped[int | None] = mapped_column(BigInteger)
    #: Where a log-in came from.
    address: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    #: The login of the database that wrote the entry; nobody can choose it.
    login: Mapped[str] = mapped_column(Text, server_default=text("session_user"))


class ReviewItem(Base):
    """An item whose article type the model is unsure of, waiting for an operator."""

    __tablename__ = "review_items"
    __table_args__ = (
        CheckConstraint("status in ('open', 'decided', 'withdrawn')", name="status"),
        CheckConstraint("(claimed_by is null) = (lease_until is null)", name="lease"),
        Index(
            "review_items_open_key",
            "upload_id",
            "item",
            unique=True,
            postgresql_where=text("status = 'open'"),
        ),
        Index(
            "review_items_claimed_idx",
            "claimed_by",
            postgresql_where=text("status = 'open' and claimed_by is not null"),
        ),
        Index(
            "review_items_queue_idx",
            text("priority desc"),
            "created_at",
            "id",
            postgresql_where=text("status = 'open'"),
        ),
        *(
            Index(
                f"review_items_{name}_idx",
                text("priority desc"),
                "created_at",
                "id",
                postgresql_where=text(f"status = 'open' and preview_due is {due}"),
            )
            for name, due in (("drawn", "null"), ("owed", "not null"))
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id"))
    item: Mapped[int] = mapped_column(SmallInteger)
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    reason: Mapped[str] = mapped_column(Text)
    #: [[label, probability], …] of the five likeliest article types.
    suggested: Mapped[list[Any]] = mapped_column(JSONB)
    #: Of the type that was not published, as in `predictions`.
    confidence: Mapped[float] = mapped_column(REAL)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    claimed_by: Mapped[str | None] = mapped_column(ForeignKey("operators.name"))
    lease_until: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
    decided_at: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    #: From when the preview that is owed may be drawn, or tried again: while one draws it, the end
    #: of its lease. Null where nothing is owed.
    preview_due: Mapped[dt.datetime | None] = mapped_column(Timestamp)
    #: How often drawing it was begun.
    preview_tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))


class Preview(Base):
    """The picture an operator sees: a JPEG that the worker drew anew, never the sender's file.

    Decided, it is kept until `kept_until`, so that a lead may reopen the decision.
    """

    __tablename__ = "previews"
    __table_args__ = (
        Index(
            "previews_kept_idx",
            "kept_until",
            postgresql_where=text("kept_until is not null"),
        ),
    )

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    item: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    jpeg: Mapped[bytes] = mapped_column(LargeBinary)
    kept_until: Mapped[dt.datetime | None] = mapped_column(Timestamp)


class Withdrawn(Base):
    """What 'no fashion item' took away, as JSON: given back where the decision is reopened."""

    __tablename__ = "withdrawn"
    __table_args__ = (Index("withdrawn_kept_idx", "kept_until"),)

    review_item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id"), primary_key=True)
    tags: Mapped[list[Any]] = mapped_column(JSONB)
    vectors: Mapped[list[Any]] = mapped_column(JSONB)
    kept_until: Mapped[dt.datetime] = mapped_column(Timestamp)


class Decision(Base):
    """What an operator decided; append-only, a trigger refuses changes."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("review_item_id"),
        CheckConstraint("action in ('label', 'not_fashion')", name="action"),
        CheckConstraint("(action = 'label') = (label is not null)", name="label"),
        ForeignKeyConstraint(["upload_id"], [f"{SCHEMA}.uploads.id"]),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    review_item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id"))
    upload_id: Mapped[uuid.UUID] = mapped_column(UUID)
    item: Mapped[int] = mapped_column(SmallInteger)
    attribute: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    #: The model's first choice at the time, so that agreement can be measured.
    suggested: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float] = mapped_column(REAL)
    model_version: Mapped[str] = mapped_column(Text)
    operator: Mapped[str] = mapped_column(ForeignKey("operators.name"))
    decided_at: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=NOW)
