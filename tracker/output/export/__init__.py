"""Output formats: one class per format, registered by the name that a user types."""

from tracker.output.export.coco import Coco
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.cutout import Cutout
from tracker.output.export.cvat import Cvat
from tracker.output.export.davis import Davis
from tracker.output.export.label_studio import LabelStudio
from tracker.output.export.labelme import Labelme
from tracker.output.export.masks import IndexMasks, ObjectMasks
from tracker.output.export.mot import Mot, Mots
from tracker.output.export.options import ExportOptions
from tracker.output.export.overview import Overview
from tracker.output.export.scores import ParquetScores, Scores
from tracker.output.export.selection import Selection
from tracker.output.export.to_supervision import detections
from tracker.output.export.video import AnnotatedVideo
from tracker.output.export.voc import PascalVoc
from tracker.output.export.yolo import YoloDetect, YoloSegment
from tracker.output.export.ytvis import YouTubeVis

_MASKS = (IndexMasks, ObjectMasks, Davis)
_DATASETS = (Coco, YouTubeVis, YoloSegment, YoloDetect, Mot, Mots, PascalVoc)
_TOOLS = (Labelme, Cvat, LabelStudio)
_OTHERS = (Scores, ParquetScores, Cutout, AnnotatedVideo, Overview)

FORMATS: dict[str, type[Export]] = {
    format.name: format for format in (*_MASKS, *_DATASETS, *_TOOLS, *_OTHERS)
}

__all__ = [
    "FORMATS",
    "Export",
    "ExportInfo",
    "ExportOptions",
    "FrameMasks",
    "Selection",
    "detections",
]
