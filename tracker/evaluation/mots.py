"""The measures of multi-object tracking with masks, from one pass over a sequence's overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.evaluation.clear_mot import ClearMot, clear_mot
from tracker.evaluation.hota import Hota, hota
from tracker.evaluation.idf1 import Identities, identities
from tracker.evaluation.overlaps import FrameOverlap
from tracker.evaluation.tracks import tracks


@dataclass(frozen=True, eq=False)
class TrackingScores:
    """What is counted of a sequence; the sum of several counts them as one."""

    clear: ClearMot
    identities: Identities
    hota: Hota

    def __add__(self, other: TrackingScores) -> TrackingScores:
        return TrackingScores(
            self.clear + other.clear,
            self.identities + other.identities,
            self.hota + other.hota,
        )

    def to_json(self) -> dict[str, float]:
        """The measures by their usual names, then the counts of MOTSA."""
        return {
            "sMOTSA": self.clear.smotsa,
            "MOTSA": self.clear.motsa,
            "MOTSP": self.clear.motsp,
            "IDF1": self.identities.idf1,
            "HOTA": self.hota.hota,
            "DetA": self.hota.detection,
            "AssA": self.hota.association,
            "TP": self.clear.true_positives,
            "FP": self.clear.false_positives,
            "FN": self.clear.false_negatives,
            "IDS": self.clear.id_switches,
        }


def tracking_scores(frames: Sequence[FrameOverlap]) -> TrackingScores:
    """Every measure of one sequence, its frames in order."""
    numbered = tracks(frames)
    return TrackingScores(clear_mot(frames), identities(numbered), hota(numbered))
