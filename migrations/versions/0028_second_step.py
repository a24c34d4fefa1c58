"""A second step of signing in."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "second_steps",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("last_used", sa.Integer, nullable=False, server_default="0"),
        sa.Column("on_since", instant),
    )
    for name, token in (("recovery_codes", "code_hash"), ("waiting_sign_ins", "token_hash")):
        op.create_table(
            name,
            sa.Column(token, sa.Text, primary_key=True),
            sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
            *([sa.Column("created_at", instant, nullable=False)] if name == "waiting_sign_ins" else []),
        )
        op.create_index(f"ix_{name}_user_id", name, ["user_id"])
    op.create_table(
        "second_step_rules",
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("since", instant, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
    )


def downgrade():
    for name in ("second_step_rules", "waiting_sign_ins", "recovery_codes", "second_steps"):
        op.drop_table(name)
