"""Links that letters to the people of the stations carry."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "person_links",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("invitation_id", sa.Integer, sa.ForeignKey("invitations.id", ondelete="CASCADE")),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("expires_at", instant, nullable=False),
        sa.CheckConstraint("(invitation_id IS NULL) <> (user_id IS NULL)", name="opens_one_thing"),
    )
    op.create_index("ix_person_links_invitation_id", "person_links", ["invitation_id"])
    op.create_index("ix_person_links_user_id", "person_links", ["user_id"])


def downgrade():
    op.drop_table("person_links")
