"""The timeline shows states, prompts and cuts, in the colours of the masks."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from tracker.output.timeline import Line, draw_timeline


def line(object_id: int = 1, states: str = "vvvvddddllvv", **changes) -> Line:
    names = {"v": "visible", "d": "doubtful", "l": "lost", "o": "occluded"}
    count = len(states)
    given = {
        "object_id": object_id,
        "name": f"{object_id} cup",
        "frames": list(range(0, 5 * count, 5)),
        "confidences": np.linspace(1, 0, count).tolist(),
        "states": [names[each] for each in states],
        "appearances": [None, *[0.8] * (count - 1)],
        "prompts": [(0, "user"), (50, "redetect")],
    }
    return Line(**{**given, **changes})


def drawn(*lines: Line, cuts=()) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(draw_timeline(lines, cuts, "clip"))).convert("RGB"))


def has(picture: np.ndarray, *rgb: int) -> bool:
    return bool((picture == rgb).all(axis=2).any())


def test_states_have_their_colours():
    green, amber, red, grey = (47, 158, 91), (224, 160, 48), (208, 74, 74), (91, 100, 114)
    rows = slice(0, 150)  # the legend below names all of them
    picture = drawn(line())[rows]
    assert has(picture, *green) and has(picture, *amber) and has(picture, *red)
    assert not has(picture, *grey)
    assert has(drawn(line(states="vvoovv"))[rows], *grey)


def test_an_objects_line_has_the_colour_of_its_mask():
    assert has(drawn(line(object_id=1)), 255, 0, 0)
    assert has(drawn(line(object_id=2)), 0, 255, 0)


def test_cuts_and_prompts_are_drawn():
    plain = drawn(line())
    assert (drawn(line(), cuts=[20]) != plain).any()
    assert (drawn(line(prompts=[])) != plain).any()


def test_every_object_has_a_row_and_none_is_no_error():
    assert drawn(line(1), line(2), line(3)).shape[0] > drawn(line()).shape[0] + 200
    assert drawn().shape[1] == 1200


def test_the_same_lines_give_the_same_bytes():
    assert draw_timeline([line()], [5], "a") == draw_timeline([line()], [5], "a")
