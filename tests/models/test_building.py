"""Predictors from configs and checkpoints, and what is said when these do not fit."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import pytest
import sam2
import torch
from hydra.core.global_hydra import GlobalHydra

from tracker.errors import ModelError, SettingsError
from tracker.locations import shipped
from tracker.models.bounded_state import Reach
from tracker.models.streaming import StreamingVideoPredictor, build_streaming_video_predictor

DEMO = shipped("configs") / "sam2" / "demo.yaml"
SMALL = ["++model.image_size=64"]


def build_demo(checkpoint: Path | None = None, **arguments: Any) -> StreamingVideoPredictor:
    arguments = {"hydra_overrides_extra": SMALL, "device": "cpu", **arguments}
    return build_streaming_video_predictor(DEMO, checkpoint, **arguments)


@pytest.fixture(scope="module")
def state_dict(predictor: StreamingVideoPredictor) -> dict[str, torch.Tensor]:
    return predictor.state_dict()


def saved(path: Path, state: Any) -> Path:
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize("size", ["t", "s", "b+", "l"])
def test_every_sam21_config_tracks_with_weights_in_the_official_form(
    size: str, tmp_path: Path, endless_clip: Any
) -> None:
    """Random weights, saved in half precision to go easy on disk and memory."""
    config, options = f"configs/sam2.1/sam2.1_hiera_{size}.yaml", {"hydra_overrides_extra": SMALL}
    torch.manual_seed(1)
    model = build_streaming_video_predictor(config, **options, device="cpu")
    expected = {name: value.half() for name, value in model.state_dict().items()}
    del model
    path = saved(tmp_path / "weights.pt", expected)
    torch.manual_seed(2)
    predictor = build_streaming_video_predictor(config, path, **options, device="cpu")
    found = predictor.state_dict()
    assert all(torch.equal(found[name], value.float()) for name, value in expected.items())
    del expected, found

    state = predictor.init_state(endless_clip(3))
    predictor.add_new_points_or_box(state, 0, 1, box=[4, 4, 40, 40])
    results = list(predictor.track(state))
    assert [frame for frame, _ in results] == [0, 1, 2]
    assert all(each.mask_hw.shape == (48, 64) for _, (each,) in results)
    assert all(0 <= each.predicted_iou <= 1 for _, (each,) in results)
    path.unlink()
    gc.collect()


def test_half_precision_weights_become_single(state_dict: Any, tmp_path: Path) -> None:
    halved = {name: value.half() for name, value in state_dict.items()}
    predictor = build_demo(saved(tmp_path / "half.pt", halved))
    for name, value in predictor.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, halved[name].float())


def test_another_architecture(state_dict: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "demo.pt", state_dict)
    with pytest.raises(ModelError) as caught:
        build_streaming_video_predictor(
            "configs/sam2.1/sam2.1_hiera_t.yaml", path, "cpu", hydra_overrides_extra=SMALL
        )
    message = str(caught.value)
    assert "demo.pt does not fit configs/sam2.1/sam2.1_hiera_t.yaml" in message
    assert "tensors missing: image_encoder.trunk" in message
    assert "tensors not expected: image_encoder.trunk.stages" in message
    assert "maskmem_tpos_enc" not in message  # that one fits
    assert "no_mem_embed (expected 1x1x256, found 1x1x128)" in message
    assert len(message) < 1500


def test_one_tensor_missing_one_too_many(state_dict: Any, tmp_path: Path) -> None:
    changed = {name: value for name, value in state_dict.items() if name != "no_mem_embed"}
    changed["extra.weight"] = torch.zeros(2)
    with pytest.raises(ModelError) as caught:
        build_demo(saved(tmp_path / "changed.pt", changed))
    assert str(caught.value).endswith(
        "1 tensors missing: no_mem_embed; 1 tensors not expected: extra.weight"
    )


def test_a_truncated_file(state_dict: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.pt", state_dict)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"cut\.pt"):
        build_demo(path)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint at all", b"\x80\x02garbage", b"PK\3\4"]
)
def test_a_file_that_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.pt"):
        build_demo(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pt does not exist"):
        build_demo(tmp_path / "nowhere.pt")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickled_code_never_runs(tmp_path: Path) -> None:
    went_off = tmp_path / "went off"
    zipped = tmp_path / "bomb.pt"
    torch.save({"model": {"weight": torch.zeros(1), "bomb": Bomb(went_off)}}, zipped)
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(Bomb(went_off), protocol=2))
    for path in (zipped, bare):
        with pytest.raises(ModelError, match="nothing in it was run"):
            build_demo(path)
    assert not went_off.exists()


def test_overrides_of_the_caller_win() -> None:
    assert build_demo().fill_hole_area == 8
    assert build_demo().add_all_frames_to_correct_as_cond is True
    assert build_demo(apply_postprocessing=False).fill_hole_area == 0
    overrides = [*SMALL, "++model.fill_hole_area=3", "++model.num_maskmem=4"]
    overrides.append("++model.add_all_frames_to_correct_as_cond=false")
    predictor = build_demo(hydra_overrides_extra=overrides)
    assert predictor.fill_hole_area == 3
    assert predictor.add_all_frames_to_correct_as_cond is False
    assert predictor._reach == Reach(memory=3, pointer=15)
    assert predictor.sam_mask_decoder.dynamic_multimask_via_stability


def test_postprocessing_is_that_of_sam2() -> None:
    from sam2.build_sam import build_sam2_video_predictor

    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    predictors = (
        build_sam2_video_predictor(config, device="cpu", hydra_overrides_extra=SMALL),
        build_streaming_video_predictor(config, device="cpu", hydra_overrides_extra=SMALL),
    )
    of_sam2, ours = (
        {n: v for n, v in vars(part).items() if isinstance(v, bool | int | float) and n[0] != "_"}
        for part in predictors
    )
    assert ours == {**of_sam2, "add_all_frames_to_correct_as_cond": True}
    of_sam2, ours = (
        {n: v for n, v in vars(part.sam_mask_decoder).items() if isinstance(v, bool | int | float)}
        for part in predictors
    )
    assert ours == of_sam2


def test_hydra_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = GlobalHydra.instance().hydra
    build_demo()
    assert GlobalHydra.instance().hydra is before
    broken = tmp_path / "broken.yaml"
    broken.write_text("model:\n  _target_: no.such.Class\n")
    with pytest.raises(ModelError, match=r"cannot build .*broken\.yaml"):
        build_streaming_video_predictor(broken, device="cpu")
    assert GlobalHydra.instance().hydra is before
    monkeypatch.chdir(DEMO.parent)
    predictor = build_streaming_video_predictor(DEMO.name, device="cpu", mode="train")
    assert predictor.training and predictor.image_size == 288


@pytest.mark.parametrize("text", ["model: [", "nothing: here\n", "model: ${missing}\n", ""])
def test_a_config_that_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"own\.yaml"):
        build_streaming_video_predictor(path, device="cpu", hydra_overrides_extra=[])


def test_an_unknown_config_names_the_known_ones() -> None:
    with pytest.raises(ModelError) as caught:
        build_streaming_video_predictor("configs/sam2.1/sam2.1_hiera_xl.yaml")
    for size in ("t", "s", "b+", "l"):
        assert f"configs/sam2.1/sam2.1_hiera_{size}.yaml" in str(caught.value)
    assert (Path(sam2.__path__[0]) / "configs/sam2.1/sam2.1_hiera_t.yaml").is_file()


def test_a_bad_override() -> None:
    with pytest.raises(ModelError, match="cannot build"):
        build_demo(hydra_overrides_extra=["++model.no_such_option=1"])
    with pytest.raises(ModelError, match="cannot build"):
        build_demo(hydra_overrides_extra=["=="])


def test_the_default_device_is_what_there_is() -> None:
    predictor = build_streaming_video_predictor(DEMO, hydra_overrides_extra=SMALL)
    assert predictor.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SettingsError, match="cuda:97"):
        build_demo(device="cuda:97")


def test_what_the_streaming_predictor_has_not() -> None:
    with pytest.raises(SettingsError, match="vos_optimized"):
        build_demo(vos_optimized=True)
    assert isinstance(build_demo(vos_optimized=False), StreamingVideoPredictor)
