"""Object numbers over a whole set of images, since outputs name an object by its number.

The first `dog` of every image has one number, the second another: a label gets as many numbers as
one image has objects of it at most. What a user has numbered keeps its number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracker.session.images.found import ImageResult


@dataclass(frozen=True)
class Numbering:
    """Numbers for the objects of a set of images.

    Attributes:
        labels: object number to name, numbers ascending; empty for an unnamed one.
    """

    labels: Mapping[int, str]
    _first: Mapping[str, int]

    @classmethod
    def of(cls, results: Iterable[ImageResult]) -> Numbering:
        """Number the objects of all images: labels in the order of the alphabet."""
        most: Counter[str] = Counter()
        given: dict[int, str] = {}
        for result in results:
            unnumbered = [o for o in result.objects if o.object_id is None]
            most |= Counter(each.label or "" for each in unnumbered)
            given |= {o.object_id: o.label or "" for o in result.objects if o.object_id is not None}
        labels, first, number = dict(given), {}, max(given, default=0) + 1
        for label in sorted(most):
            first[label] = number
            labels |= dict.fromkeys(range(number, number + most[label]), label)
            number += most[label]
        return cls(dict(sorted(labels.items())), first)

    def ids(self, result: ImageResult) -> tuple[int, ...]:
        """The number of every object of one of the images, in their order."""
        seen: Counter[str] = Counter()
        numbers = []
        for each in result.objects:
            if each.object_id is not None:
                numbers.append(each.object_id)
                continue
            numbers.append(self._first[each.label or ""] + seen[each.label or ""])
            seen[each.label or ""] += 1
        return tuple(numbers)
