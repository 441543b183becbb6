"""Fewer blocks: the stock architecture with a shorter config, and the weights of the remaining blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PretrainedConfig, PreTrainedModel

from hfft import layers
from hfft.backbone.edit.reshape import changed, entries, on_meta, rebuilt
from hfft.errors import ModelError
from hfft.wording import listing


def remove_blocks(model: PreTrainedModel, which: str | list[int]) -> PreTrainedModel:
    """The model without some of its blocks: the stock architecture with fewer layers, and the weights of the remaining ones.

    The config entries to change are found by trial: those with which the architecture has exactly the remaining modules.

    Raises:
        ModelError: there are too few blocks, or the architecture cannot be built without these blocks.
    """
    blocks = layers.block_paths(model)
    count, key = len(blocks), f"backbone.edit: remove {which if isinstance(which, str) else listing(which)}"
    if isinstance(which, str):
        side, _, number = which.partition("-")
        n = int(number)
        gone = set(range(count - n, count)) if side == "last" else set(range(n))
    else:
        n, gone = max(which), {i - 1 for i in which}
    if n > count or len(gone) >= count:
        most = f"at most {count - 1}, so that one stays" if count > 1 else "none: it has no stack of blocks"
        raise ModelError(f"{key} of {count} blocks; from {model.config.model_type} you can remove {most}")
    renamed: dict[str, str | None] = {}
    sizes: list[tuple[int, int]] = []
    for container in dict.fromkeys(path.rpartition(".")[0] for block in blocks for path in block):
        children = [f"{container}.{name}" for name, _ in model.get_submodule(container).named_children()]
        out = {path for i in gone for path in blocks[i]}
        stay = [path for path in children if path not in out]
        renamed |= {path: None for path in children if path in out}
        renamed |= {path: f"{container}.{i}" for i, path in enumerate(stay) if len(stay) < len(children)}
        sizes.append((len(children), len(stay)))

    def rename(name: str) -> str | None:
        for path, to in renamed.items():
            if name == path or name.startswith(f"{path}."):
                return None if to is None else to + name[len(path) :]
        return name

    if any(not left for _, left in sizes):
        raise ModelError(
            f"{key} of {model.config.model_type} removes a whole stage (stages of {listing(size for size, _ in sizes)} "
            f"blocks); keep at least one block of each"
        )
    wanted = {to: p.shape for name, p in model.state_dict().items() if (to := rename(name)) is not None}
    edits = getattr(model.config, "edits", None)
    order = [i for i in range(count) if i not in gone]
    for config in other_numbers(model.config, count, order, sizes):
        if edits:
            moved = [(edit, "insert" if "insert" in edit else "replace") for edit in edits]
            config.edits = [{**e, k: to} for e, k in moved if (to := rename(e[k])) is not None]
        try:
            config = as_saved(config)
            found = {name: p.shape for name, p in on_meta(model, config).state_dict().items()}
        except Exception:  # no model can be built from this config: try the next
            continue
        if found == wanted:
            return rebuilt(model, config, rename)
    raise ModelError(
        f"{key}: no config of {model.config.model_type} describes the model without these blocks (stages of "
        f"{listing(size for size, _ in sizes)} blocks); blocks that differ in shape from their neighbours cannot be removed"
    )


def as_saved(config: PretrainedConfig) -> PretrainedConfig:
    """The config after saving and loading: entries such as stage names are derived from the number of stages."""
    values = config.to_dict()
    for key in ("stage_names", "out_features", "out_indices"):
        values.pop(key, None)
    return type(config).from_dict(values)


def other_numbers(
    config: PretrainedConfig, count: int, order: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> Iterator[PretrainedConfig]:
    """Candidate configs of a model with other blocks, the most likely first.

    Args:
        count: how many blocks there are now.
        order: the new model's blocks by their numbers now, from 0.
        sizes: how many modules each stage has now and in the new model.
    """
    other = dict(size for size in sizes if size[0] != size[1]) | {count: len(order)}
    numbers, counts, lists = {}, {}, {}
    for i, (_, key, value) in enumerate(entries(config)):
        if type(value) is int and value in other:
            numbers[i, key] = other[value]
        elif isinstance(value, (list, tuple)) and value:
            whole = all(type(v) is int for v in value)
            if whole and (sum(value) == count or list(value) == [size for size, _ in sizes]):
                counts[i, key] = type(value)(_in_stages(value, order))
            elif len(value) == count:
                lists[i, key] = type(value)(value[j] for j in order)
    likely = sorted(numbers, key=lambda at: not any(word in at[1] for word in ("layer", "depth", "block")))
    all_named = {at: numbers[at] for at in likely if "layers" in at[1] or "blocks" in at[1]}
    trials = [{at: numbers[at]} for at in likely] + [{at: counts[at]} for at in counts] + [all_named]
    for trial in trials:
        for beside in (lists, {}) if lists else ({},):
            if trial:
                yield changed(config, {**beside, **trial})


def _in_stages(stages: Sequence[int], order: Sequence[int]) -> list[int]:
    """How many blocks of each stage are in the new order."""
    ends = [sum(stages[: j + 1]) for j in range(len(stages))]
    return [sum(end - n <= i < end for i in order) for end, n in zip(ends, stages, strict=True)]
