"""The grammar of `backbone.edit`: what can be removed, added, replaced, inserted and resized, checked without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from annotated_types import Predicate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from hfft.spec import check_pattern
from hfft.wording import listing, nearest

# A field's description states what its value must be, and the messages quote it.
_Count = Annotated[int, Field(ge=1, description="a whole number of at least 1")]
_Share = Annotated[float, Field(ge=0, lt=1, description="a number from 0 to below 1")]
_Name = Annotated[str, Field(min_length=1, description="a name")]
_Side = Annotated[int, Field(ge=8)]
_Place = Annotated[
    str,
    Field(min_length=1, description="the path of a module, /regex/ over paths, or all"),
    AfterValidator(check_pattern),
]
_UNSET: Any = Field(default=None)  # none of these accepts null


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class _Narrow(_Checked):
    size: _Count = _UNSET
    reduction: _Count = _UNSET

    @model_validator(mode="after")
    def _one(self) -> _Narrow:
        if {"size", "reduction"} <= self.model_fields_set:
            raise ValueError("give size or reduction, not both")
        return self


class _Bottleneck(_Narrow):
    type: Literal["bottleneck"]
    activation: _Name = _UNSET


class _SqueezeExcite(_Narrow):
    type: Literal["squeeze_excite"]


class _Conv(_Checked):
    type: Literal["conv"]
    kernel_size: Annotated[
        int, Field(ge=1, description="an odd whole number"), Predicate(lambda size: size % 2 == 1)
    ] = _UNSET


class _Linear(_Checked):
    type: Literal["linear"]


class _Dropout(_Checked):
    type: Literal["dropout"]
    p: _Share = _UNSET


class _Prompt(_Checked):
    type: Literal["prompt"]
    tokens: _Count = _UNSET
    deep: Annotated[bool, Field(description="true or false")] = _UNSET


class _With(_Checked):
    """What can be replaced, and by what."""

    activation: _Name = _UNSET
    dropout: _Share = _UNSET
    norm: Literal["layer_norm", "rms_norm", "batch_norm", "group_norm", "none"] = _UNSET
    pooling: Literal["avg", "max"] = _UNSET
    attn_implementation: _Name = _UNSET

    @model_validator(mode="after")
    def _some(self) -> _With:
        if not self.model_fields_set:
            raise ValueError(f"with is empty; expected one of {listing(_With.model_fields)}")
        return self


class _Remove(_Checked):
    remove: Annotated[
        Annotated[str, Field(pattern=r"^(first|last)-[1-9][0-9]*$")] | Annotated[list[_Count], Field(min_length=1)],
        Field(description="last-N or first-N such as last-2, or block numbers such as [3, 5]"),
    ]


class _Expand(_Checked):
    expand: Annotated[
        Annotated[str, Field(pattern=r"^((first|last|middle)-[1-9][0-9]*|blocks-[1-9][0-9]*(-[1-9][0-9]*)?)$")]
        | Annotated[list[_Count], Field(min_length=1)],
        Field(description="last-N, first-N, middle-N or blocks-A-B such as last-2, or block numbers such as [3, 5]"),
    ]


class _Replace(_Checked):
    replace: _Place
    with_: _With = Field(alias="with", description="a mapping such as {activation: gelu}")


class _Insert(_Checked):
    insert: _Place
    module: Annotated[
        _Bottleneck | _SqueezeExcite | _Conv | _Linear | _Dropout | _Prompt,
        Field(discriminator="type", description="a mapping such as {type: bottleneck}"),
    ]


class _ImageSize(_Checked):
    image_size: Annotated[
        _Side | Annotated[list[_Side], Field(min_length=2, max_length=2)],
        Field(description="a side in pixels such as 96, or [height, width]"),
    ]


class _Channels(_Checked):
    channels: Annotated[int, Field(description="1 (grey), 3 (RGB) or 4 (RGBA)"), Predicate((1, 3, 4).__contains__)]


class _Tokens(_Checked):
    tokens: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, description='a list such as ["[X]"]')
    ]


KINDS: dict[str, type[_Checked]] = {
    next(iter(model.model_fields)): model
    for model in (_Remove, _Expand, _Replace, _Insert, _ImageSize, _Channels, _Tokens)
}
MODULES: dict[str, type[_Checked]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in (_Bottleneck, _SqueezeExcite, _Conv, _Linear, _Dropout, _Prompt)
}


def check_edit(edit: dict[str, Any]) -> dict[str, Any]:
    """The validated edit.

    Raises:
        ValueError: it is no valid edit; the message uses the recipe's keys and suggests a fix.
    """
    kind = next((key for key in edit if key in KINDS), None)
    if kind is None:
        given = str(next(iter(edit), "empty"))
        raise ValueError(f"is {given!r}; expected one of {listing(KINDS)}{nearest(given, KINDS)}")
    try:
        KINDS[kind].model_validate(edit)
    except ValidationError as error:
        raise ValueError(_explained(error, kind, edit)) from None
    return edit


def _explained(error: ValidationError, kind: str, edit: dict[str, Any]) -> str:
    """The first mistake that pydantic found in an edit, in one line."""
    item = error.errors()[0]
    what, (key, *inside), model, where = item["type"], item["loc"], KINDS[kind], kind
    value: Any = edit.get(str(key))
    if what.startswith("union_tag"):
        name = value.get("type")
        return f"module.type is {name!r}; expected {listing(MODULES)}{nearest(str(name), MODULES)}"
    if (inside and key in ("with", "module")) or (key == "with" and what == "value_error"):
        model, where = (_With, "with") if key == "with" else (MODULES[value["type"]], f"module {value['type']}")
        inside = inside[key == "module" :]  # after the name of the type
        if not inside:
            return f"{kind if key == 'with' else where}: {item['ctx']['error']}"
        key, value = inside[0], value.get(inside[0])
    fields: dict[Any, FieldInfo] = {field.alias or name: field for name, field in model.model_fields.items()}
    if what in ("extra_forbidden", "invalid_key"):
        known = [name for name in fields if name != "type"]
        takes = f"known: {listing(known)}" if known else "it has no options"
        return f"{where} has no option {key!r}{nearest(str(key), known)} ({takes})"
    if what == "value_error":
        return str(item["ctx"]["error"])
    expected = fields[key].description
    if key in ("with", "module"):
        return f"{kind} needs {key}, {expected}"
    if what == "literal_error":
        choices = get_args(fields[key].annotation)
        expected = " or ".join(choices) + nearest(str(value), choices)
    return f"{where if key == kind else f'{where}: {key}'} is {value!r:.80}; expected {expected}"


def misfit(edit: dict[str, Any], refused: Mapping[str, str]) -> str | None:
    """Why an edit does not suit the task's inputs, or None.

    Args:
        refused: kind of edit, or of inserted module -> the modality's reason for refusing it.
    """
    kind = next(key for key in edit if key in KINDS)
    given = edit["module"]["type"] if kind == "insert" else None
    return refused.get(kind) or refused.get(given or "")


def describe(edit: dict[str, Any]) -> str:
    """The edit in one short phrase."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in edit.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{v}" if k == "type" else f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
