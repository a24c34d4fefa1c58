"""Backfill: «Пост 1» … «Пост n» for every station, all of its old slot length.

The old columns allowed anything; docs/decisions/0001-posts-from-post-count.md tells how each value is read. A count
that cannot be believed stops the migration before anything is written, with the stations' names.

Run again, it writes nothing. A station whose active posts are as many as its count is left as it is, whatever has been
done to its posts; elsewhere the count is the newer truth: missing posts are made, those above it stop being active.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOST_POSTS = 999
BATCH = 500  # stations

stations = sa.table(
    "service_points", sa.column("id"), sa.column("slug"), sa.column("post_count"), sa.column("default_slot_duration")
)
posts = sa.table(
    "service_posts",
    sa.column("service_point_id"),
    sa.column("post_number"),
    sa.column("name"),
    sa.column("slot_duration"),
    sa.column("active", sa.Boolean),
)


def upgrade():
    refuse_unbelievable_counts()
    ids = op.get_bind().scalars(sa.select(stations.c.id).order_by(stations.c.id)).all()
    for first in range(0, len(ids), BATCH):
        make_posts(ids[first : first + BATCH])


def downgrade():
    """The posts stay, for the next upgrade; 0002 drops them. The old code reads the count: it gets today's."""
    active = sa.select(sa.func.count()).where(posts.c.service_point_id == stations.c.id, posts.c.active)
    has_posts = sa.exists().where(posts.c.service_point_id == stations.c.id)
    changed = meant(stations.c.post_count) != active.scalar_subquery()
    op.execute(sa.update(stations).where(has_posts, changed).values(post_count=active.scalar_subquery()))


def refuse_unbelievable_counts():
    too_many = sa.select(stations.c.slug, stations.c.post_count).where(stations.c.post_count > MOST_POSTS)
    found = op.get_bind().execute(too_many.order_by(stations.c.slug)).all()
    if found:
        named = ", ".join(f"{slug} ({count})" for slug, count in found[:20])
        raise RuntimeError(
            f"{len(found)} stations have a post_count over {MOST_POSTS}: {named}."
            " Correct it and run the migration again; nothing has been changed."
        )


def make_posts(ids):
    connection = op.get_bind()
    have = {}
    for station, number, active in connection.execute(
        sa.select(posts.c.service_point_id, posts.c.post_number, posts.c.active).where(
            posts.c.service_point_id.in_(ids)
        )
    ):
        have.setdefault(station, {})[number] = active

    new = []
    for station in connection.execute(
        sa.select(stations.c.id, meant(stations.c.post_count).label("count"), stations.c.default_slot_duration)
        .where(stations.c.id.in_(ids))
        .order_by(stations.c.id)
    ):
        there = have.get(station.id, {})
        if sum(there.values()) == station.count:
            continue
        if there:
            of_station = sa.update(posts).where(posts.c.service_point_id == station.id)
            connection.execute(of_station.values(active=posts.c.post_number <= station.count))
        new += [
            {
                "service_point_id": station.id,
                "post_number": number,
                "name": f"Пост {number}",
                "slot_duration": slot_duration(station.default_slot_duration),
                "active": True,
            }
            for number in range(1, station.count + 1)
            if number not in there
        ]
    if new:
        connection.execute(sa.insert(posts), new)


def meant(post_count):
    """No count, and a negative one, mean no posts."""
    return sa.case((post_count > 0, post_count), else_=0)


def slot_duration(minutes):
    return 60 if minutes is None else min(max(int(minutes), 5), 480)
