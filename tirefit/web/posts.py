"""Posts in the order the station wants, and posts that go: looked at first, in words, and only then taken away."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit.booking import retire
from tirefit.errors import PostHasBookings, PostHasHistory, Problem
from tirefit.models import ServicePost
from tirefit.schedule import changes
from tirefit.web import load, policy

bp = Blueprint("posts", __name__, url_prefix="/manage/posts")


@bp.post("/<int:post_id>/move")
@policy.manager_of(load.post)
def move(post: ServicePost) -> ResponseReturnValue:
    """One place up or down, in all lists and on the board. The page comes back to the very post."""
    up, slug = request.form.get("to") != "down", post.service_point.slug
    changes.move_post(post.id, up=up, user_id=policy.my_id())
    flash(_("Порядок постов изменён: так же они стоят на доске."))
    return redirect(url_for("manage.posts", s=slug, _anchor=f"post-{post.id}"), 303)


@bp.get("/<int:post_id>/delete")
@policy.manager_of(load.post)
def ask(post: ServicePost) -> ResponseReturnValue:
    return _page(post)


@bp.post("/<int:post_id>/delete")
@policy.manager_of(load.post)
def delete(post: ServicePost) -> ResponseReturnValue:
    slug, name = post.service_point.slug, post.name or _("Пост %(number)s", number=post.post_number)
    try:
        changes.delete_post(post.id, user_id=policy.my_id())
    except (PostHasHistory, PostHasBookings) as problem:
        return _page(post, problem), problem.status
    flash(_("%(name)s удалён.", name=name))
    return redirect(url_for("manage.posts", s=slug), 303)


def _page(post: ServicePost, problem: Problem | None = None) -> str:
    """What would go with the post; or why it stays, and what can be done instead."""
    return render_template(
        "manage/post_delete.html",
        point=post.service_point,
        post=post,
        problem=problem,
        had_bookings=changes.has_history(post),
        plan=retire.plan_of(post),
        free=len(changes.preview_post_schedule(post, slot_duration=post.slot_duration, active=False).removed),
    )
