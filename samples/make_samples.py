"""Make the sample videos, their truth, and the reference memory that finds their objects.

    python -m samples.make_samples            everything
    python -m samples.make_samples --memory   only the memory (after the feature model changed)

Three scenes, each of one kind of difficulty:
    crossing  a red car passes behind an advertising column and comes back
    pond      an orange fish swims past a red fish of the same kind
    meadow    a balloon and a bird cross the sky, with sound
References come from other clips: other places, sizes and poses of the same objects.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np
from numpy.typing import NDArray

from samples import scenery
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import load_features
from tracker.video import write_index_mask
from training.objects import Sprite, balloon, bird, car, fish
from training.scenes import Camera, Layer, Motion, Scene
from training.textures import Image, dots, marble, stripes

WIDTH, HEIGHT, RATE = 640, 360, 24
_HERE = Path(__file__).parent


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _tinted(texture: Image, colour: tuple[int, int, int], strength: float = 0.8) -> Image:
    """Pull a texture toward one colour and keep its pattern."""
    light = texture.mean(2, keepdims=True) / 128
    mixed = (1 - strength) * texture + strength * np.array(colour) * np.clip(light, 0.5, 1.5)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def red_car() -> Sprite:
    return car(_rng(5), _tinted(marble(_rng(3), 256), (205, 40, 35)))


def orange_fish() -> Sprite:
    return fish(_rng(11), _tinted(dots(_rng(12), 256), (240, 130, 30), 0.7))


def red_fish() -> Sprite:
    return fish(_rng(14), _tinted(dots(_rng(15), 256), (225, 70, 40), 0.7))


def striped_balloon() -> Sprite:
    return balloon(_rng(21), _tinted(stripes(_rng(25), 256), (130, 60, 215), 0.6))


def pink_bird() -> Sprite:
    return bird(_rng(31), _tinted(marble(_rng(32), 256), (240, 95, 175)))


@dataclass(frozen=True)
class Sample:
    """A scene to render. `labels` name the objects 1, 2, …; `notes_hz` gives it sound."""

    name: str
    seconds: float
    scene: Scene
    labels: tuple[str, ...]
    notes_hz: tuple[float, ...] = ()


def crossing() -> Sample:
    # From rest to rest in five seconds, fastest behind the column.
    drive = Motion(
        start=(0.51, 0.71), sway=(0.38, 0.003), sway_rate=1 / 240, sway_phase=-0.25, size=0.42
    )
    column = Motion(start=(0.52, 0.63), size=0.54)
    layers = [
        Layer(red_car(), drive, 1),
        Layer(scenery.pillar(_rng(2)), column),
        Layer(scenery.tree(_rng(4)), Motion(start=(1.03, 0.55), size=0.5)),
    ]
    background = scenery.street(_rng(1), 900, 506)
    camera = Camera(zoom=1.12, velocity=(0.0006, 0))
    return Sample("crossing", 5.0, Scene([background], layers, camera, seed=1), ("car",))


def pond() -> Sample:
    swim = {"wobble": 0.04, "wobble_rate": 0.09, "rock": 0.1}
    target = Motion(
        start=(0.2, 0.35),
        velocity=(0.005, 0.0009),
        size=0.4,
        sway=(0.01, 0.05),
        sway_rate=0.015,
        **swim,
    )
    other = Motion(
        start=(0.85, 0.62),
        velocity=(-0.0048, -0.001),
        size=0.42,
        flip=True,
        sway=(0.01, 0.04),
        sway_rate=0.014,
        **swim,
    )
    layers = [
        Layer(red_fish(), other),
        Layer(orange_fish(), target, 1),
        Layer(scenery.lily(_rng(7)), Motion(start=(0.47, 0.2), size=0.26, rock=0.06)),
        Layer(scenery.lily(_rng(8)), Motion(start=(0.12, 0.82), size=0.3, rock=0.05)),
    ]
    background = scenery.pond(_rng(6), 900, 506)
    camera = Camera(zoom=1.15, velocity=(0.0004, 0.0002))
    return Sample("pond", 5.0, Scene([background], layers, camera, seed=2), ("fish",))


def meadow() -> Sample:
    rise = Motion(
        start=(0.25, 0.62),
        velocity=(0.0014, -0.0010),
        size=0.4,
        rock=0.06,
        growth=0.9985,
        sway=(0.02, 0),
        sway_rate=0.012,
    )
    fly = Motion(
        start=(0.9, 0.2),
        velocity=(-0.0046, 0.0002),
        size=0.27,
        flip=True,
        sway=(0.0, 0.05),
        sway_rate=0.035,
        rock=0.12,
    )
    layers = [Layer(striped_balloon(), rise, 1), Layer(pink_bird(), fly, 2)]
    background = scenery.meadow(_rng(9), 900, 506)
    camera = Camera(zoom=1.1, velocity=(-0.0004, 0))
    notes = (392.0, 440.0, 523.3, 440.0, 587.3, 523.3, 392.0, 523.3)
    scene = Scene([background], layers, camera, seed=3)
    return Sample("meadow", 5.0, scene, ("balloon", "bird"), notes)


def references() -> list[tuple[str, Scene]]:
    """Label and scene: each shows its object (id 1) somewhere else than in the samples."""
    places = [
        ("car", red_car(), scenery.wall(_rng(41), 640, 480), 0.6, 0.12, False),
        ("car", red_car(), scenery.meadow(_rng(42), 640, 480), 0.45, -0.1, True),
        ("fish", orange_fish(), scenery.desk(_rng(43), 640, 480), 0.62, -0.25, False),
        ("fish", orange_fish(), scenery.pond(_rng(44), 640, 480), 0.45, 0.4, False),
        ("balloon", striped_balloon(), scenery.street(_rng(45), 640, 480), 0.5, 0.15, False),
        ("bird", pink_bird(), scenery.wall(_rng(46), 640, 480), 0.5, -0.1, True),
        ("bird", pink_bird(), scenery.desk(_rng(47), 640, 480), 0.4, 0.15, False),
    ]
    return [
        (
            label,
            Scene(
                [place], [Layer(sprite, Motion((0.5, 0.5), size=size, angle=angle, flip=flip), 1)]
            ),
        )
        for label, sprite, place, size, angle, flip in places
    ]


def write_video(sample: Sample, path: Path) -> None:
    """Render a sample: H.264 with truth beside it, and sound where it has notes."""
    truth = path.parent / "truth"
    shutil.rmtree(truth, ignore_errors=True)
    truth.mkdir(parents=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "21", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=44100, layout="mono") if sample.notes_hz else None
        for index in range(int(sample.seconds * RATE)):
            rendered = sample.scene.render(float(index), WIDTH, HEIGHT)
            container.mux(video.encode(av.VideoFrame.from_ndarray(rendered.image_hwc, "rgb24")))
            write_index_mask(truth / f"{index:05d}.png", rendered.ids_hw)
        container.mux(video.encode())
        if sound is not None:
            samples = scenery.chime(list(sample.notes_hz), sample.seconds, 44100)
            _mux_sound(container, sound, samples)


def _mux_sound(
    container: av.container.OutputContainer, stream: av.AudioStream, samples: NDArray[np.int16]
) -> None:
    frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
    frame.sample_rate, frame.time_base, frame.pts = 44100, Fraction(1, 44100), 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_memory(folder: Path) -> None:
    """The reference memory of the samples, embedded with the demo feature model."""
    shutil.rmtree(folder, ignore_errors=True)
    memory = ReferenceMemory.open(folder, load_features("demo", "cpu"), create=True)
    for label, scene in references():
        rendered = scene.render(0.0, 480, 360)
        memory.add(rendered.image_hwc, rendered.ids_hw == 1, label)


@click.command()
@click.option("--memory", "memory_only", is_flag=True, help="Only the reference memory.")
def main(memory_only: bool) -> None:
    """Make the sample videos and their reference memory."""
    if not memory_only:
        for sample in (crossing(), pond(), meadow()):
            write_video(sample, _HERE / sample.name / f"{sample.name}.mp4")
            click.echo(f"{sample.name}: {', '.join(sample.labels)}")
    write_memory(_HERE / "memory")


if __name__ == "__main__":
    main()
