"""What must hold of a model that does not compute everything: a check returns None, or in one line what does not."""

from __future__ import annotations

import contextlib

import torch

from hfft import layers, strategy
from hfft.frozen_cache.find import find
from hfft.frozen_cache.trace import NotCuttable
from hfft.layers.freeze import hold
from hfft.layers.last_block import first_token
from hfft.strategy.outputs import logits_of
from tests.architectures.case import WITHOUT, Case, seed


def cache(case: Case) -> str | None:
    """Where computing starts from what the frozen part left behind, losses and gradients are the same."""
    for train in ("head", "last-1"):
        model = layers.adapt(case.fresh(), train, None, case.depths, case.head_names).train()
        hold(layers.frozen_modules(model))
        inputs = dict(case.tiny.inputs)
        try:
            cut = find(model, inputs, logits_of)
            states = cut.record(model, inputs)
        except NotCuttable as error:
            return f"{WITHOUT}{train}: {error}"
        found = []
        for whole in (True, False):
            buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
            given = {name: t for name, t in inputs.items() if whole or name not in cut.placeholders}
            given = cut.fill_in(given, len(case.tiny.labels), "cpu")
            model.zero_grad()
            seed()
            with cut.handing(model, [] if whole else states, given) if not whole else torch.enable_grad():
                outputs = logits_of(model(**given if not whole else inputs))
                loss = strategy.per_example(outputs, case.tiny.labels, "single_label_classification")[0].mean()
                loss.backward()
            grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            found.append((loss.item(), grads))
            for buffer, was in buffers:
                buffer.copy_(was)
        (first, expected), (second, grads) = found
        if not abs(first - second) <= 1e-6 * max(1.0, abs(first)):
            return f"{train}: the losses differ by {abs(first - second):.1e}"
        if expected.keys() != grads.keys():
            return f"{train}: other parameters get a gradient"
        size = max(g.abs().max().item() for g in expected.values())
        off = max((expected[name] - grads[name]).abs().max().item() for name in expected)
        if off > 1e-5 * max(size, 1e-3):
            return f"{train}: the gradients differ by {off / size:.1e} of their size"
    return None


def last_block(case: Case) -> str | None:
    """Where one token of the last block is computed, logits and gradients are those of the whole block."""
    model, inputs = case.fresh(), dict(case.tiny.inputs)
    found = first_token(model, inputs, logits_of)
    if found is None:
        return f"{WITHOUT}more than the first token is read of the last block, or that cannot be determined"
    answers = []
    for context in (contextlib.nullcontext(), found.reading(model)):
        model.eval().zero_grad()
        with context:
            logits = logits_of(model(**inputs))
            strategy.per_example(logits, case.tiny.labels, "single_label_classification")[0].mean().backward()
        answers.append(
            (logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        )
    (logits, expected), (other, grads) = answers
    if (logits - other).abs().max() > 1e-5 * max(logits.abs().max().item(), 1e-3):
        return f"the logits differ by {(logits - other).abs().max():.1e}"
    if expected.keys() != grads.keys():
        return "other parameters get a gradient"
    size = max(g.abs().max().item() for g in expected.values())
    off = max((expected[name] - grads[name]).abs().max().item() for name in expected)
    return f"the gradients differ by {off / size:.1e} of their size" if off > 1e-5 * max(size, 1e-3) else None
