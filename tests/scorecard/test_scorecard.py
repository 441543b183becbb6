"""A scorecard: its blocks, one that fails alone, and what is kept of an earlier one."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.runs import RunFolder
from hfft.scorecard import scorecard
from hfft.scorecard.blocks import FULL, QUICK
from hfft.scorecard.evidence import Evidence
from hfft.tasks.labels import Labels


def evidence(logits, references):
    n = len(logits)
    labels = Labels.of("single_label_classification", [str(i) for i in range(logits.shape[1])])
    given = Outputs("test", "given", labels, np.ones(n, "float32"), np.ones(n, "float32"), logits, references)
    return Evidence("runs/x", SimpleNamespace(seed=7), {}, {"test": given})


def test_the_quick_blocks_are_the_first_of_all():
    assert FULL[: len(QUICK)] == QUICK


def test_one_row_one_class_and_absent_classes_have_figures():
    for references in ([0], [0, 0, 0], [2, 2, 1]):
        logits = np.eye(3, dtype="float32")[references] * 4
        card = scorecard.make(evidence(logits, np.array(references)), ["task"])
        found = card["blocks"]["task"]
        assert found["n"] == len(references)
        assert found["figures"]["accuracy"]["value"] == 1
        assert json.loads(json.dumps(card, allow_nan=False)) == card
        assert scorecard.lines(card)[0].startswith(f"task  (test, n={len(references)}, seed 7)")


def test_a_block_that_fails_says_why_and_the_others_go_on():
    logits = np.zeros((4, 2), "float32")
    logits[1] = np.nan
    card = scorecard.make(evidence(logits, np.zeros(4, int)), QUICK)
    assert "logits of 1 of 4 rows are not finite" in card["blocks"]["task"]["error"]
    assert "not finite" in scorecard.lines(card)[1]


def test_other_blocks_of_an_earlier_scorecard_are_kept():
    logits = np.eye(2, dtype="float32")
    card = scorecard.make(evidence(logits, np.arange(2)), ["task"], {"blocks": {FULL[-1]: {"n": 1}}})
    assert list(card["blocks"]) == [name for name in FULL if name in ("task", FULL[-1])]


def test_an_unknown_block_is_refused_with_the_nearest():
    with pytest.raises(BadInput, match="unknown 'tsk'; did you mean"):
        scorecard.check_names(["tsk"])


def test_a_quick_scorecard_keeps_what_was_made_in_full():
    logits = np.eye(2, dtype="float32")
    whole, quick = evidence(logits, np.arange(2)), evidence(logits, np.zeros(2, int))
    whole.full = True
    card = scorecard.make(whole, ["task"])
    assert scorecard.make(quick, ["task"], card) == card
    assert scorecard.make(quick, ["task"])["blocks"]["task"]["figures"]["accuracy"]["value"] == 0.5


def test_a_damaged_scorecard_is_refused_in_a_line(tmp_path):
    (tmp_path / "scorecard.json").write_text("{")
    with pytest.raises(BadInput, match=r"is damaged .*; delete it, and it is made anew"):
        scorecard.read(RunFolder(tmp_path))
