"""A revision happens as a whole or not at all, whenever the process ends."""

from __future__ import annotations

import shutil

import pytest

from tests.full_disk import files_limited_to
from tracker.errors import RunError
from tracker.session.refine import revisions
from tracker.session.run_folder import RunFolder

OLD = {"a.json": "old a", "masklets/000000.jsonl": "old chunk"}
NEW = {"a.json": "new a", "masklets/000000.jsonl": "new chunk"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "masklets").mkdir()
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "untouched").write_text("mine")
    return tmp_path


def contents(run):
    return {name: (run / name).read_text() for name in OLD}


def commit(run, files=NEW):
    return revisions.commit(run, files, ("a box",), 12, {1: (3, 4), 2: ()})


def test_a_revision_is_made_listed_and_undone(run):
    first = commit(run)
    assert contents(run) == NEW
    second = commit(run, {"a.json": "newer"})
    assert revisions.list_revisions(run) == (first, second)
    assert (first.number, first.asked, first.changed) == (1, ("a box",), {1: (3, 4), 2: ()})
    assert revisions.undo(run) == second
    assert contents(run) == NEW
    revisions.undo(run)
    assert contents(run) == OLD
    assert revisions.list_revisions(run) == ()
    with pytest.raises(RunError, match="no revision to undo"):
        revisions.undo(run)
    assert (run / "untouched").read_text() == "mine"


def test_cut_short_before_it_counts_nothing_has_changed(run):
    commit(run)
    folder = run / "revisions"
    shutil.copytree(folder / "001", folder / ".new")
    (folder / ".new" / "new").mkdir()
    (folder / ".new" / "new" / "a.json").write_text("half")
    assert not revisions.is_half_done(run)
    revisions.finish(run)
    assert contents(run) == NEW
    assert not (folder / ".new").exists()


def test_cut_short_after_it_counts_it_is_finished(run):
    commit(run)
    folder = run / "revisions" / "001"
    (folder / "new").mkdir()  # one of the files has not moved yet
    (folder / "new" / "a.json").write_text("new a")
    (run / "a.json").write_text("old a")
    assert revisions.is_half_done(run)
    revisions.finish(run)
    assert contents(run) == NEW
    assert not revisions.is_half_done(run)
    assert revisions.undo(run).number == 1
    assert contents(run) == OLD


def test_undoing_cut_short_is_finished(run):
    commit(run)
    folder = run / "revisions" / "001"
    folder.rename(folder.with_suffix(".undo"))
    (run / "a.json").write_text("old a")
    assert revisions.is_half_done(run)
    revisions.finish(run)
    assert contents(run) == OLD
    assert revisions.list_revisions(run) == ()


def test_a_full_disk_leaves_the_run_as_it_was(run):
    files = {"a.json": "new a", "masklets/000000.jsonl": "x" * 5000}
    with pytest.raises(RunError, match="cannot write"), files_limited_to(2000):
        commit(run, files)
    assert contents(run) == OLD
    assert not (run / "revisions" / ".new").exists()
    assert commit(run).number == 1


def test_opening_a_run_finishes_what_was_cut_short(run, run_info, prompts, result):
    from tracker.session.run_writer import RunWriter

    folder = run / "real"
    with RunWriter(folder, run_info(), prompts) as writer:
        writer.write(result(0))
    text = (folder / "prompts.json").read_text()
    revisions.commit(folder, {"prompts.json": "{}"}, ("other prompts",), 0, {})
    undone = folder / "revisions" / "001"
    undone.rename(undone.with_suffix(".undo"))
    assert len(RunFolder(folder).prompts) == 2
    assert (folder / "prompts.json").read_text() == text


def test_a_damaged_revision_is_named(run):
    commit(run)
    (run / "revisions" / "001" / "revision.json").write_text("[]")
    with pytest.raises(RunError, match=r"001/revision\.json is damaged"):
        revisions.list_revisions(run)
