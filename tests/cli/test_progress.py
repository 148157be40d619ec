"""The progress bar: on terminals alone; notes in any case."""

from __future__ import annotations

from tracker.cli.progress import ProgressBar


def work(bar: ProgressBar) -> None:
    with bar:
        bar.stage("loading", None)
        bar.notice("a [small] model")
        bar.stage("tracking", 5)
        for _ in range(3):  # the video has fewer frames than it claims
            bar.frame()


def test_on_a_terminal_it_shows_stages_frames_and_speed(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    work(ProgressBar())
    shown = capsys.readouterr()
    assert shown.out == ""
    for text in ("loading", "tracking", "3/3", "frames/s", "note: a [small] model"):
        assert text in shown.err


def test_elsewhere_it_is_quiet_but_for_notes(monkeypatch, capsys):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    work(ProgressBar())
    assert capsys.readouterr().err == "note: a [small] model\n"
