"""Output formats: one class per format, registered by the name that a user types."""

from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.masks import IndexMasks
from tracker.output.export.overview import Overview
from tracker.output.export.scores import Scores
from tracker.output.export.video import AnnotatedVideo

FORMATS: dict[str, type[Export]] = {
    format.name: format for format in (IndexMasks, AnnotatedVideo, Scores, Overview)
}

__all__ = ["FORMATS", "Export", "ExportInfo", "FrameMasks"]
