"""Runs that meet trouble: another recipe, other rows, a full disk, too little memory, a training that went wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from hfft import cli, finetune
from hfft.data import fingerprints
from hfft.errors import BadInput, Diverged, RunError
from hfft.recipe import Recipe
from hfft.recipe.build import build
from hfft.runs import checkpoint, lock
from hfft.train.resume import Resumable
from hfft.train.trainer import FineTuner
from tests.parts import splits_of
from tests.torture.runs import RECIPE, compare

pytestmark = pytest.mark.slow


def recipe(folder: Path, *overrides: str) -> Recipe:
    """Three epochs of four steps."""
    fixed = ["data.max_train_samples=32", "training.save_steps=2", "training.eval_strategy='no'"]
    return build(RECIPE, "test.yaml", "test", (*fixed, f"training.output_dir={folder}", *overrides))


class Killed(KeyboardInterrupt):
    """What stands for the end of a process."""


@pytest.fixture
def kill(monkeypatch):
    """Kill the next run when it has taken so many steps."""
    ordinary = Resumable.judge_step

    def after(steps):
        def judge(self, model):
            if self.state.global_step == steps:
                monkeypatch.setattr(Resumable, "judge_step", ordinary)
                raise Killed
            ordinary(self, model)

        monkeypatch.setattr(Resumable, "judge_step", judge)

    return after


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    return finetune(recipe(tmp_path_factory.mktemp("whole") / "run")).folder


def interrupted(run, kill, steps=5, *overrides):
    kill(steps)
    with pytest.raises(Killed):
        finetune(recipe(run, *overrides))


# --- the same run, or another


def test_a_damaged_checkpoint_is_skipped_in_one_line_and_the_end_is_the_same(tmp_path, whole, kill, capsys):
    run = tmp_path / "run"
    interrupted(run, kill)
    content = bytearray((run / "checkpoint-4" / "optimizer.pt").read_bytes())
    content[5000] ^= 8
    (run / "checkpoint-4" / "optimizer.pt").write_bytes(content)
    finetune(recipe(run))
    lines = [line for line in capsys.readouterr().out.splitlines() if "checkpoint-" in line]
    assert lines == [
        f"skipped {run}/checkpoint-4: optimizer.pt is damaged (SHA-256 differs)",
        f"continuing from {run}/checkpoint-2",
    ]
    assert compare(whole, run) == []


def test_what_changes_no_weight_may_change_between_stops(tmp_path, whole, kill):
    run = tmp_path / "run"
    interrupted(run, kill)
    shutil.move(run, tmp_path / "moved")
    finetune(recipe(tmp_path / "moved", "training.dataloader_num_workers=1", "publish.private=true"))
    assert compare(whole, tmp_path / "moved") == []
    assert "private: true" in (tmp_path / "moved" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda facts: facts["versions"].update(torch="1.0"), r"versions\.torch: 1\.0, now "),
        (lambda facts: facts.update(world_size=2), "world_size: 2, now 1"),
        (lambda facts: facts["data"].update(train="x"), r"data\.train: x, now \w{16}"),
    ],
)
def test_other_versions_rows_or_processes_are_refused_unless_forced(tmp_path, whole, kill, change, said, capsys):
    run = tmp_path / "run"
    interrupted(run, kill, 3)
    facts = checkpoint.facts(run / "checkpoint-2")
    change(facts)
    checkpoint.write_digests(run / "checkpoint-2", facts)
    with pytest.raises(BadInput, match=rf"to a run under other conditions \({said}.*--force to continue anyway"):
        finetune(recipe(run))
    if "torch" not in said:  # once is enough
        return
    finetune(recipe(run), force=True)
    assert "--force: continuing under other conditions" in capsys.readouterr().out
    assert compare(whole, run) == []


def test_a_checkpoint_of_another_minor_version_is_refused_even_if_forced(tmp_path, kill):
    run = tmp_path / "run"
    interrupted(run, kill, 3)
    facts = checkpoint.facts(run / "checkpoint-2")
    facts["versions"]["hfft"] = "0.1.0"
    checkpoint.write_digests(run / "checkpoint-2", facts)
    for force in (False, True):
        with pytest.raises(
            BadInput, match=r"checkpoint-2 was written by hfft 0\.1\.0, whose runs hfft \d.* cannot continue; .*--fresh"
        ):
            finetune(recipe(run), force=force)


def test_another_recipe_is_refused_unless_forced(tmp_path, kill, capsys):
    run = tmp_path / "run"
    interrupted(run, kill)
    other = recipe(run, "strategy.l2_sp.weight=0.1")
    with pytest.raises(BadInput, match=r"l2_sp\.weight: 0\.01, now 0\.1\); add --force to continue anyway"):
        finetune(other)
    with pytest.raises(RunError, match=r"checkpoint-4 does not fit the recipe \(.*parameter group.*--fresh"):
        finetune(recipe(run, "layers.train=head"), force=True)
    finetune(other, force=True)
    assert "continuing from" in capsys.readouterr().out
    assert "weight: 0.1" in (run / "recipe.yaml").read_text()


def test_the_same_rows_have_the_same_fingerprint_and_others_have_not(tmp_path):
    def of(*overrides):
        return fingerprints(splits_of(recipe(tmp_path, *overrides))[0])

    assert of() == of()
    assert of("data.max_train_samples=31")["train"] != of()["train"]
    assert of("training.seed=3")["validation"] != of()["validation"], "other rows are set aside"
    assert of("training.seed=3")["test"] != of()["train"]


def test_masked_tokens_are_the_same_after_a_stop_and_for_every_worker(tmp_path, kill):
    words = [
        "task=fill-mask",
        "backbone={name: nano-bert}",
        "data={path: docstrings, max_train_samples: 32}",
        "strategy={}",
    ]
    words += ["score.metrics=[perplexity]", "data.max_eval_samples=16", "training.eval_steps=3"]
    runs = [recipe(tmp_path / name, *words, "training.eval_strategy=steps") for name in ("whole", "parts")]
    finetune(runs[0])
    interrupted(tmp_path / "parts", kill, 7, *words, "training.eval_strategy=steps")
    finetune(recipe(tmp_path / "parts", *words, "training.eval_strategy=steps", "training.dataloader_num_workers=2"))
    assert compare(tmp_path / "whole", tmp_path / "parts") == []


# --- disks


def small_disk(path: Path, size: str) -> Path:
    """A file system of its own, for those who may mount one."""
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]).returncode:
        pytest.skip("only root may mount a file system")
    return path


def test_a_full_disk_is_one_line_and_the_checkpoint_before_is_kept(tmp_path, whole, capsys):
    disk = small_disk(
        tmp_path / "disk", "9m"
    )  # a checkpoint has 3.7 MB, and the old one goes after the new one is there
    try:
        words = ["train", str(written(tmp_path, disk / "run")), "training.save_total_limit=5"]
        assert cli.main(words) == 1
        err = capsys.readouterr().err
        (line,) = err.splitlines()
        kept = disk / "run" / "checkpoint-4"
        assert line.startswith(f"the checkpoint of step 6 could not be written: the disk is full; {kept} is intact.")
        assert checkpoint.newest(disk / "run") == checkpoint.Newest(kept, ())
        assert not (disk / "run" / checkpoint.TEMP_DIR).exists()
        subprocess.run(["mount", "-o", "remount,size=99m", disk], check=True)
        assert cli.main(words) == 0
        assert compare(whole, disk / "run") == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_turns_read_only_is_one_line(tmp_path, monkeypatch, capsys):
    disk = small_disk(tmp_path / "disk", "99m")
    ordinary = Resumable.judge_step

    def judge(self, model):
        if self.state.global_step == 5:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ordinary(self, model)

    try:
        monkeypatch.setattr(Resumable, "judge_step", judge)
        monkeypatch.setattr(lock, "_locked", lambda folder: None)  # mount refuses while a file is open for writing
        assert cli.main(["train", str(written(tmp_path, disk / "run"))]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "step 6 could not be written: Read-only file system; " in line
        assert checkpoint.newest(disk / "run").path == disk / "run" / "checkpoint-4"
        assert cli.main(["train", str(written(tmp_path, disk / "run"))]) == 2
        assert "cannot be written (Read-only file system)" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_run_folder_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys):
    ordinary = Resumable.judge_step

    def judge(self, model):
        if self.state.global_step == 5:
            shutil.rmtree(self.args.output_dir)
        ordinary(self, model)

    monkeypatch.setattr(Resumable, "judge_step", judge)
    assert cli.main(["train", str(written(tmp_path, tmp_path / "run"))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the run folder {tmp_path / 'run'} is gone" in line
    assert not (tmp_path / "run").exists()


def written(folder: Path, run: Path) -> Path:
    """The recipe as a file."""
    from hfft.recipe import yaml_lines

    path = folder / "test.yaml"
    path.write_text(yaml_lines.dump(recipe(run).resolved()))
    return path


# --- memory


@pytest.mark.parametrize("after", [0, 3])
def test_too_large_a_batch_is_parted_and_ends_as_a_clean_run_at_that_size(tmp_path, monkeypatch, capsys, after):
    """`after` steps of the run, memory runs out: before its first checkpoint and after it."""
    ordinary = FineTuner.compute_loss

    def compute(self, model, inputs, *args, **kwargs):
        if model.training and len(inputs["labels"]) > 2 and self.state.global_step == after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return ordinary(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(FineTuner, "compute_loss", compute)
    result = finetune(recipe(tmp_path / "run"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("out of memory")]
    again = "again from the start" if after == 0 else "again from checkpoint-2"
    assert line == (
        f"out of memory: trying {again} with per_device_train_batch_size 2 and gradient_accumulation_steps 4, the same "
        "global batch"
    )
    assert result.metrics["train"]["micro_batch"] == 2
    if after == 0:
        sizes = ["training.per_device_train_batch_size=2", "training.gradient_accumulation_steps=4"]
        clean = finetune(recipe(tmp_path / "clean", *sizes))
        assert compare(clean.folder, tmp_path / "run") == []


def test_a_run_that_was_parted_goes_on_parted(tmp_path, kill, monkeypatch):
    ordinary = FineTuner.compute_loss

    def compute(self, model, inputs, *args, **kwargs):
        if model.training and len(inputs["labels"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return ordinary(self, model, inputs, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "compute_loss", compute)
        interrupted(tmp_path / "run", kill)
    assert finetune(recipe(tmp_path / "run")).metrics["train"]["micro_batch"] == 2


# --- trainings that went wrong


def test_a_loss_that_is_not_finite_is_one_line_and_status_3(tmp_path, monkeypatch, capsys):
    ordinary = FineTuner.compute_loss

    def compute(self, model, *args, **kwargs):
        loss = ordinary(self, model, *args, **kwargs)
        return loss * float("nan") if model.training and self.state.global_step == 4 else loss

    monkeypatch.setattr(FineTuner, "compute_loss", compute)
    path = str(written(tmp_path, tmp_path / "run"))
    assert cli.main(["train", path]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("step 5 is not finite (loss nan, gradient norm nan, ")
    assert checkpoint.newest(tmp_path / "run").path == tmp_path / "run" / "checkpoint-4"
    with pytest.raises(Diverged):
        finetune(recipe(tmp_path / "run"))
    assert finetune(recipe(tmp_path / "other", "strategy.non_finite.skip=4")).metrics["train"]["skipped_steps"] == 1


def test_a_training_that_went_wrong_is_told_and_not_published(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hfft.publish.check_permission", lambda wanted: "me/model")
    made = recipe(tmp_path / "run", "training.learning_rate=0.0", "publish.hub_model_id=me/model")
    with pytest.raises(
        RunError, match=r"^not published: the head never moved: .*push it with `hfft publish .* --force`"
    ):
        finetune(made)
    assert "WRONG: the head never moved" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["faults"]
    assert "the head never moved" in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file(), "kept all the same"
