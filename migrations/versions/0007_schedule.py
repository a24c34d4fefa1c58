"""Hours, the offer made from them, and reservations with the guard that refuses two at once on one post."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ExcludeConstraint

revision = "0007"
down_revision = "0006"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")

# The last reservation that starts before the new end is the only one that can reach past the new start.
GUARD_AT_INSERT = """CREATE TRIGGER reservations_no_overlap_insert BEFORE INSERT ON reservations
WHEN (SELECT r.ends_at FROM reservations r
    WHERE r.service_post_id = NEW.service_post_id AND r.starts_at < NEW.ends_at
    ORDER BY r.starts_at DESC LIMIT 1) > NEW.starts_at
BEGIN SELECT RAISE(ABORT, 'reservations_no_overlap'); END"""
GUARD_AT_UPDATE = """CREATE TRIGGER reservations_no_overlap_update
BEFORE UPDATE OF id, service_post_id, starts_at, ends_at ON reservations
WHEN (SELECT r.ends_at FROM reservations r
    WHERE r.service_post_id = NEW.service_post_id AND r.starts_at < NEW.ends_at AND r.id <> OLD.id
    ORDER BY r.starts_at DESC LIMIT 1) > NEW.starts_at
BEGIN SELECT RAISE(ABORT, 'reservations_no_overlap'); END"""


def upgrade():
    create_hours()
    op.create_table(
        "schedule_slots",
        sa.Column("service_point_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("starts_at", instant, primary_key=True),
        sa.Column("service_post_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ends_at", instant, nullable=False),
        post_of_station(ondelete="CASCADE"),
        sa.CheckConstraint("starts_at < ends_at", name="forwards"),
        sqlite_with_rowid=False,
    )
    create_reservations()


def create_hours():
    op.create_table(
        "schedule_templates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("service_post_id", sa.Integer),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date),
        sa.Column("valid_until", sa.Date),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        post_of_station(ondelete="CASCADE"),
        sa.CheckConstraint("valid_from IS NULL OR valid_until IS NULL OR valid_from <= valid_until", name="validity"),
    )
    op.create_index("ix_schedule_templates_service_point_id", "schedule_templates", ["service_point_id"])
    op.create_table(
        "schedule_windows",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "template_id", sa.Integer, sa.ForeignKey("schedule_templates.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("weekday", sa.Integer, nullable=False),
        sa.Column("opens", sa.Integer, nullable=False),
        sa.Column("closes", sa.Integer, nullable=False),
        sa.UniqueConstraint("template_id", "weekday", "opens"),
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        sa.CheckConstraint("0 <= opens AND opens < 1440 AND opens < closes AND closes <= 2880", name="minutes"),
    )
    op.create_table(
        "schedule_exceptions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("service_post_id", sa.Integer),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        post_of_station(ondelete="CASCADE"),
        sa.UniqueConstraint("service_post_id", "day"),
    )
    of_station = sa.text("service_post_id IS NULL")
    op.create_index(
        "uq_schedule_exceptions_station_day",
        "schedule_exceptions",
        ["service_point_id", "day"],
        unique=True,
        postgresql_where=of_station,
        sqlite_where=of_station,
    )
    op.create_table(
        "exception_windows",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "exception_id", sa.Integer, sa.ForeignKey("schedule_exceptions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("opens", sa.Integer, nullable=False),
        sa.Column("closes", sa.Integer, nullable=False),
        sa.UniqueConstraint("exception_id", "opens"),
        sa.CheckConstraint("0 <= opens AND opens < 1440 AND opens < closes AND closes <= 2880", name="minutes"),
    )


def create_reservations():
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        longest = "interval '1 day'"
        guard = ExcludeConstraint(
            (sa.literal_column("service_post_id"), "="),
            (sa.literal_column("tstzrange(starts_at, ends_at, '[)')"), "&&"),
            name="reservations_no_overlap",
            using="gist",
        )
        guard_of_the_table = [guard]
    else:
        longest = "86400"
        guard_of_the_table = []
    op.create_table(
        "reservations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("service_point_id", sa.Integer, nullable=False),
        sa.Column("service_post_id", sa.Integer, nullable=False),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("ends_at", instant, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("token_hash", sa.Text, unique=True),
        sa.Column("holder", sa.Text),
        sa.Column("wanted", sa.JSON),
        sa.Column("expires_at", instant),
        sa.Column("extensions", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", instant, nullable=False),
        post_of_station(ondelete="RESTRICT"),
        sa.UniqueConstraint("id", "service_post_id", "starts_at", "ends_at"),
        sa.CheckConstraint("kind IN ('hold', 'booking', 'walk_in', 'block')", name="kind"),
        sa.CheckConstraint("(kind = 'hold') = (expires_at IS NOT NULL)", name="only_holds_expire"),
        sa.CheckConstraint("starts_at < ends_at", name="forwards"),
        sa.CheckConstraint(f"ends_at - starts_at <= {longest}", name="at_most_a_day"),
        *guard_of_the_table,
    )
    for columns in (["service_post_id", "starts_at"], ["service_point_id", "starts_at"]):
        op.create_index(f"ix_reservations_{'_'.join(columns)}", "reservations", columns)
    for column in ("expires_at", "holder"):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_reservations_{column}", "reservations", [column], postgresql_where=there, sqlite_where=there
        )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(GUARD_AT_INSERT)
        op.execute(GUARD_AT_UPDATE)


def downgrade():
    """The extension btree_gist stays: it harms nobody, and somebody else may be using it."""
    op.drop_table("reservations")
    op.drop_table("schedule_slots")
    op.drop_table("exception_windows")
    op.drop_table("schedule_exceptions")
    op.drop_table("schedule_windows")
    op.drop_table("schedule_templates")


def post_of_station(ondelete):
    """The post and the station are referred to together, so that no row can mix two stations."""
    return sa.ForeignKeyConstraint(
        ["service_post_id", "service_point_id"],
        ["service_posts.id", "service_posts.service_point_id"],
        ondelete=ondelete,
    )
