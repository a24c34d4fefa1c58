"""What managers change: posts, weeks and seasons, exceptions. Each change can be previewed, is applied as a run,
undone.

A change is a new state of one subject (a post, a template, the exceptions of some dates) as plain data. Applying
writes it, cuts the offer again around what is reserved, and leaves a run with before, after and counts; undoing
applies `before`. The preview is the same difference, not written. Nothing reserved is moved, shortened or lost.
"""

from tirefit.schedule.changes.exceptions import (
    close_day,
    close_days,
    days_off,
    delete_exception,
    exceptions_between,
    preview_closed_days,
    preview_exception,
    preview_exceptions,
    save_exception,
    save_exceptions,
)
from tirefit.schedule.changes.posts import (
    Abilities,
    create_post,
    create_posts,
    delete_post,
    has_history,
    move_post,
    preview_new_post,
    preview_post_schedule,
    set_lengths,
    switch_off,
    update_post,
    were_never_looked_at,
)
from tirefit.schedule.changes.runs import UNDO_WITHIN, latest_runs, undo_run, undoable
from tirefit.schedule.changes.weeks import WeekWindows, delete_template, preview_template, save_template, templates_of

__all__ = [
    "UNDO_WITHIN",
    "Abilities",
    "WeekWindows",
    "close_day",
    "close_days",
    "create_post",
    "create_posts",
    "days_off",
    "delete_exception",
    "delete_post",
    "delete_template",
    "exceptions_between",
    "has_history",
    "latest_runs",
    "move_post",
    "preview_closed_days",
    "preview_exception",
    "preview_exceptions",
    "preview_new_post",
    "preview_post_schedule",
    "preview_template",
    "save_exception",
    "save_exceptions",
    "save_template",
    "set_lengths",
    "switch_off",
    "templates_of",
    "undo_run",
    "undoable",
    "update_post",
    "were_never_looked_at",
]
