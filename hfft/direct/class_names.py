"""Which outputs of a classifier stand for which class of the data: by name, or by a recipe's `head.map`. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hfft.errors import ModelError
from hfft.spec import as_list
from hfft.wording import listing, nearest

Sources = dict[str, list[int]]  # class of the data -> outputs of the model, in order


def plain(name: str) -> str:
    """A name without what spelling adds: case, underscores, hyphens, repeated spaces."""
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def in_words(name: str) -> str:
    """A class name as words for a text model: underscores become spaces, all else stays."""
    return " ".join(name.replace("_", " ").split())


def readings(name: str) -> set[str]:
    """The plain name, and the plain members of a list of synonyms as in WordNet: `tabby, tabby cat`."""
    return {plain(name), *(plain(part) for part in name.split(","))} - {""}


def found_by(name: str, outputs: Sequence[str]) -> list[int]:
    """Outputs that a name stands for: those of that name as a whole, otherwise those that share a synonym with it."""
    whole = [i for i, output in enumerate(outputs) if plain(output) == plain(name)]
    return whole or [i for i, output in enumerate(outputs) if readings(output) & readings(name)]


def unnamed(outputs: Sequence[str]) -> bool:
    """Whether a model does not name its classes: transformers then numbers them, `LABEL_0`."""
    return all(re.fullmatch(r"LABEL_\d+", output) for output in outputs)


def sources(
    classes: Sequence[str],
    outputs: Sequence[str],
    mapping: Mapping[str, str | list[str]] | None,
    model: str,
) -> Sources:
    """The outputs that stand for each class of the data, in the order of the data's classes.

    Args:
        classes: the classes of the data.
        outputs: the names of a model's outputs, in order.
        mapping: `head.map`: class -> names of outputs, or `/regex/`; other classes are found by name.
        model: the model's name, for messages.

    Raises:
        ModelError: a class has no output, or several that its name does not tell apart; an entry of the mapping matches
            nothing, or an output would stand for two classes.
    """
    mapped = _mapped(classes, outputs, mapping or {})
    found = {name: mapped[name] if name in mapped else found_by(name, outputs) for name in classes}
    if missing := [name for name, places in found.items() if not places]:
        raise ModelError(_nothing(missing, outputs, model))
    for name, places in found.items():
        if name not in mapped and len(places) > 1:
            shown = listing(f"{outputs[i]!r} (output {i})" for i in places)
            raise ModelError(
                f"class {name!r} may be each of {shown} of {model}; choose by head.map={{{name}: [/{outputs[places[0]]}/]}}"
            )
    owner: dict[int, str] = {}
    for name, places in found.items():
        for i in places:
            if i in owner:
                raise ModelError(
                    f"head.map: {outputs[i]!r} of {model} is in both {owner[i]!r} and {name!r}; keep it in one of them"
                )
            owner[i] = name
    return found


def _mapped(classes: Sequence[str], outputs: Sequence[str], mapping: Mapping[str, str | list[str]]) -> Sources:
    """The outputs that the mapping names for each of its classes."""
    found: Sources = {}
    for key, entries in mapping.items():
        name = next((name for name in classes if plain(name) == plain(key)), None)
        if name is None:
            raise ModelError(
                f"head.map.{key}: the data has no class {key!r}{nearest(key, classes)} (it has: {listing(classes)})"
            )
        if name in found:
            raise ModelError(f"head.map.{key}: is given twice, in two spellings; keep one of them")
        places: set[int] = set()
        for entry in as_list(entries):
            matching = _matching(entry, outputs)
            if not matching:
                raise ModelError(
                    f"head.map.{key}: {entry!r} matches none of the model's {len(outputs)} classes"
                    f"{nearest(entry.strip('/'), _parts(outputs))}"
                )
            places.update(matching)
        found[name] = sorted(places)
    return found


def _matching(entry: str, outputs: Sequence[str]) -> list[int]:
    if entry.startswith("/"):
        return [i for i, output in enumerate(outputs) if re.search(entry.strip("/"), output)]
    return found_by(entry, outputs)


def _parts(outputs: Iterable[str]) -> list[str]:
    """All names that outputs go by, as they are written."""
    return list(dict.fromkeys(part.strip() for output in outputs for part in (output, *output.split(","))))


def _nothing(missing: Sequence[str], outputs: Sequence[str], model: str) -> str:
    what = "class" if len(missing) == 1 else "classes"
    if unnamed(outputs):
        return (
            f"{model} does not name its {len(outputs)} classes ({listing(outputs, 3)}), so {what} {listing(missing)} cannot be "
            f"found by name; say which is which by head.map={{{missing[0]}: {outputs[0]}, …}}"
        )
    close = nearest(missing[0], _parts(outputs))
    return (
        f"{model} has no {what} {listing(missing)}{close} (its {len(outputs)}: {listing(outputs)}); name those that stand for "
        f"them by head.map={{{missing[0]}: […]}}, leave them out by data.classes, or fine-tune"
    )


def describe(found: Sources, outputs: Sequence[str]) -> list[str]:
    """What a user should know: classes that several outputs stand for, names that differ, and outputs that stand for none."""
    lines = [
        f"{name}: {'sum of ' * (len(places) > 1)}{listing((outputs[i] for i in places), 6)}"
        for name, places in found.items()
        if len(places) > 1 or outputs[places[0]] != name
    ]
    used = {i for places in found.values() for i in places}
    rest = [output for i, output in enumerate(outputs) if i not in used]
    if rest:
        lines.append(f"{len(rest)} of the model's {len(outputs)} classes are none of the data's: {listing(rest, 6)}")
    return lines
