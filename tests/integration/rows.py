"""Rows for tests of the review: labels, a model, uploads under review, operators."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.passwords import hash_password
from db.queries.models import activate_model, register_model, upsert_labels
from db.queries.operators import upsert_password

MODEL = "test-model"
PASSWORD = "correct horse battery"

#: article type → (sub_category, master_category)
TREE = {
    "Backpacks": ("Bags", "Accessories"),
    "Belts": ("Belts", "Accessories"),
    "Caps": ("Headwear", "Accessories"),
    "Casual Shoes": ("Shoes", "Footwear"),
    "Dresses": ("Dress", "Apparel"),
    "Earrings": ("Jewellery", "Accessories"),
    "Flip Flops": ("Flip Flops", "Footwear"),
    "Formal Shoes": ("Shoes", "Footwear"),
    "Handbags": ("Bags", "Accessories"),
    "Heels": ("Shoes", "Footwear"),
    "Jackets": ("Topwear", "Apparel"),
    "Jeans": ("Bottomwear", "Apparel"),
    "Kurtas": ("Topwear", "Apparel"),
    "Sandals": ("Sandal", "Footwear"),
    "Shirts": ("Topwear", "Apparel"),
    "Shorts": ("Bottomwear", "Apparel"),
    "Skirts": ("Bottomwear", "Apparel"),
    "Sports Shoes": ("Shoes", "Footwear"),
    "Sunglasses": ("Eyewear", "Accessories"),
    "Sweaters": ("Topwear", "Apparel"),
    "Sweatshirts": ("Topwear", "Apparel"),
    "Tops": ("Topwear", "Apparel"),
    "Tshirts": ("Topwear", "Apparel"),
    "Tunics": ("Topwear", "Apparel"),
    "Watches": ("Watches", "Accessories"),
}
TOP5: list[list[Any]] = [
    ["Tshirts", 0.46],
    ["Tops", 0.31],
    ["Shirts", 0.12],
    ["Sweatshirts", 0.05],
    ["Tunics", 0.004],
]
#: The smallest thing that begins like a JPEG; tests that look at pictures bring their own.
JPEG = b"\xff\xd8\xff\xe0 not a real picture"


@dataclass(frozen=True)
class Waiting:
    """An upload under review and its open item."""

    upload_id: uuid.UUID
    item_id: int


@cache
def _hash(password: str) -> str:
    return hash_password(password)


def insert_world(engine: Engine, operators: Sequence[str] = ("ada", "bo")) -> None:
    """Insert the labels, an active model and operators who share one password."""
    with Session(engine) as session, session.begin():
        insert_labels(session)
        register_model(session, MODEL, {})
        activate_model(session, MODEL)
        for name in operators:
            upsert_password(session, name, _hash(PASSWORD))


def insert_labels(session: Session) -> None:
    """Insert the category tree, the coarse labels first."""
    masters = sorted({master for _, master in TREE.values()})
    upsert_labels(session, "master_category", [(name, None) for name in masters], None)
    upsert_labels(session, "sub_category", sorted(set(TREE.values())), "master_category")
    types = [(name, sub) for name, (sub, _) in TREE.items()]
    upsert_labels(session, "article_type", types, "sub_category")


def insert_waiting(
    engine: Engine,
    external_id: str | None = None,
    jpeg: bytes = JPEG,
    reason: str = "below_threshold",
    suggested: list[list[Any]] = TOP5,
    priority: int = 0,
    age_seconds: float = 0,
) -> Waiting:
    """Insert an upload under review: its sure tags, its vector, its preview, its item."""
    values = {
        "id": uuid.uuid4(),
        "external_id": external_id,
        "jpeg": jpeg,
        "reason": reason,
        "suggested": json.dumps(suggested),
        "confidence": suggested[0][1],
        "priority": priority,
        "age": age_seconds,
        "model": MODEL,
        "vector": json.dumps([1.0] + [0.0] * 255),
    }
    with engine.begin() as connection:
        for statement in _INSERTS:
            connection.execute(text(statement), values)
        item_id = connection.execute(text(_INSERT_ITEM), values).scalar_one()
    return Waiting(values["id"], item_id)


_INSERTS = (
    """
    INSERT INTO hangtag_data.uploads (id, source, external_id, uri, status, finished_at)
    VALUES (:id, 'shop', :external_id, 'file:///pictures/p.jpg', 'review', now())
    """,
    """
    INSERT INTO hangtag_data.tags (upload_id, item, attribute, label, confidence, decided_by,
        model_version) VALUES (:id, 0, 'base_colour', 'Blue', 0.97, 'model', :model)
    """,
    """
    INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding)
    SELECT generation, :id, 0, CAST(:vector AS halfvec) FROM hangtag_data.model_versions
    WHERE version = :model
    """,
    "INSERT INTO hangtag_data.previews (upload_id, item, jpeg) VALUES (:id, 0, :jpeg)",
)
_INSERT_ITEM = """
    INSERT INTO hangtag_data.review_items (upload_id, item, model_version, reason, suggested,
        confidence, priority, created_at)
    VALUES (:id, 0, :model, :reason, CAST(:suggested AS jsonb), :confidence, :priority,
        now() - make_interval(secs => :age))
    RETURNING id
"""


def expire_leases(engine: Engine) -> None:
    """Let every lease have run out a moment ago."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE hangtag_data.review_items SET lease_until = now() - interval '1 second' "
                "WHERE lease_until IS NOT NULL"
            )
        )


def published_tags(engine: Engine, upload_id: uuid.UUID) -> dict[str, tuple[str, float, str]]:
    """Return {attribute: (label, confidence, decided_by)} as other services see them."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT attribute, label, confidence, decided_by FROM hangtag.image_tags "
                "WHERE image_id = :id"
            ),
            {"id": upload_id},
        )
        return {row.attribute: (row.label, row.confidence, row.decided_by) for row in rows}


def scalar(engine: Engine, query: str, **values: Any) -> Any:
    """Return the single value of a query."""
    with engine.connect() as connection:
        return connection.execute(text(query), values).scalar_one()
