"""Contract: nothing reads `post_count` and `default_slot_duration` any more; posts are counted.

Going down counts the active posts, and takes the slot length that most of them have.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    refuse_to_forget_posts()
    op.drop_column("service_points", "post_count")
    op.drop_column("service_points", "default_slot_duration")


def downgrade():
    op.add_column("service_points", sa.Column("post_count", sa.Integer))
    op.add_column("service_points", sa.Column("default_slot_duration", sa.Integer))
    op.execute(
        """
        UPDATE service_points SET
            post_count = (
                SELECT count(*) FROM service_posts AS post
                WHERE post.service_point_id = service_points.id AND post.active
            ),
            default_slot_duration = (
                SELECT post.slot_duration FROM service_posts AS post
                WHERE post.service_point_id = service_points.id
                GROUP BY post.slot_duration
                ORDER BY count(*) FILTER (WHERE post.active) DESC, count(*) DESC, min(post.post_number)
                LIMIT 1
            )
        """
    )


def refuse_to_forget_posts():
    """A station that the old code added after 0003 has a count and no post; its count is the only trace of them."""
    forgotten = op.get_bind().scalars(
        sa.text(
            "SELECT slug FROM service_points WHERE post_count > 0 AND NOT EXISTS"
            " (SELECT 1 FROM service_posts WHERE service_posts.service_point_id = service_points.id) ORDER BY slug"
        )
    )
    if slugs := forgotten.all():
        raise RuntimeError(
            f"Stations were added after the posts had been made: {', '.join(slugs[:20])}."
            " Go back to 0002 and up again, which makes their posts; nothing has been changed."
        )
