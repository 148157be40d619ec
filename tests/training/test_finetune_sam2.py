"""Fine-tuning on a run that `track export --format davis` wrote, through the command."""

from __future__ import annotations

import json

import torch
from click.testing import CliRunner

from tests.made_davis import davis_folder
from tracker.locations import shipped
from tracker.models.streaming import build_streaming_video_predictor
from training.annotated import AnnotatedClip
from training.finetune_sam2 import main, split, tuned_model


def test_only_the_named_parts_learn():
    model = tuned_model("demo", ("decoder",), "cpu")
    learning = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert {"sam_mask_decoder", "sam_prompt_encoder"} <= learning
    assert not learning & {"image_encoder", "memory_attention", "memory_encoder"}
    everything = tuned_model("demo", ("decoder", "memory", "trunk"), "cpu")
    assert all(p.requires_grad for p in everything.parameters())


def test_every_fifth_clip_is_kept_for_checking():
    clips = [AnnotatedClip((), ()) for _ in range(7)]
    learned, checked = split(clips)
    assert len(learned) == 6
    assert checked == [clips[4]]
    assert split(clips[:3]) == (clips[:3], clips[:3])


def test_a_few_steps_change_what_learns_and_the_weights_load(tmp_path):
    folder = davis_folder(tmp_path / "mine")
    options = ["--model", "demo", "--steps", "4", "--size", "64", "--frames", "3"]
    more = ["--learning-rate", "3e-4", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [str(folder), *options, *more])
    assert result.exit_code == 0, result.output
    entries = [json.loads(x) for x in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert {"mask", "box"} <= entries[-1].keys()
    config = shipped("configs") / "sam2" / "demo.yaml"
    tuned = build_streaming_video_predictor(config, tmp_path / "out" / "demo_tuned.pt", "cpu")
    before = tuned_model("demo", (), "cpu").state_dict()
    changed = {
        name.split(".")[0]
        for name, value in tuned.state_dict().items()
        if not torch.allclose(value, before[name], atol=1e-6)
    }
    assert "sam_mask_decoder" in changed
    assert "image_encoder" not in changed


def test_a_folder_that_holds_no_clip_says_so(tmp_path):
    result = CliRunner().invoke(
        main, [str(tmp_path), "--model", "demo", "--steps", "1", "--output", str(tmp_path / "o")]
    )
    assert result.exit_code == 2
    assert "no clip with JPEGImages and Annotations" in result.output
