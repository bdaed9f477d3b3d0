"""Values against the types and ranges that are declared where they are used: fields of settings, arguments of calls.

Pydantic checks. What it finds becomes one line that names the value, what was expected, and what was probably meant.
A ValueError of a validator says what was expected.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, wraps
from typing import Annotated, Any, ParamSpec, TypeVar, dataclass_transform, get_type_hints

import pydantic.dataclasses
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from hplan.types import UsageError

P = ParamSpec("P")
T = TypeVar("T")
CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
SHOWN = 80  # characters of a wrong value


def _as_python(value: Any) -> Any:
    """NumPy's numbers are as good as Python's."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


Integer = Annotated[int, BeforeValidator(_as_python)]
Number = Annotated[float, BeforeValidator(_as_python)]
Count = Annotated[Integer, Field(ge=1)]
Whole = Annotated[Integer, Field(ge=0)]
Seed = Annotated[Integer, Field(ge=0, lt=2**31)]  # times the episodes of one, within 64 bits
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Rate = Annotated[Number, Field(gt=0, lt=1)]

_EXPECTED = {  # by pydantic's type of error, filled in with its context
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a table",
    "mapping_type": "a table",
    "dataclass_type": "a table",
    "dataclass_exact_type": "a table ({class_name})",
    "is_instance_of": "a {class}",
    "tuple_type": "a list",
    "callable_type": "a function",
    "none_required": "nothing",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} at most",
    "less_than": "less than {lt}",
    "value_error": "{error}",
}


@dataclass_transform(frozen_default=True)
def validated(cls: type[T]) -> type[T]:
    """A frozen dataclass whose values are checked whenever one is made. Raises UsageError for wrong or unknown ones."""
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=CONFIG)(cls)
    check = made.__init__

    @wraps(check)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise UsageError(_explained(error, values, made.__dataclass_fields__)) from None

    made.__init__ = __init__
    return made


def build(kind: Callable[..., T], values: Mapping[str, Any], where: str) -> T:
    """`kind(**values)`; `where` begins the message of an error, such as the name of the file they are from."""
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Every argument is checked against its annotation before the call; those that name a type which the module
    imports for people alone are not. Raises UsageError for a wrong or unknown one."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs.keys() - signature.parameters.keys():
            raise UsageError(f"{function.__name__} has no argument {name!r}{near(name, signature.parameters)}")
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            given.arguments[name] = _checked(_adapter(function, name), name, value)
        return function(*given.args, **given.kwargs)

    return call


def check_arguments(function: Callable[..., Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` by the annotations of the parameters that bear their names; `where` begins the message of an error."""
    try:
        return {name: _checked(_adapter(function, name), name, value) for name, value in values.items()}
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def near(value: str, known: Iterable[str]) -> str:
    """`, did you mean X?` or `; expected one of ...`: the end of a sentence about an unknown value."""
    known = list(known)
    close = get_close_matches(value, known, n=3, cutoff=0.6)
    return f", did you mean {' or '.join(close)}?" if close else f"; expected one of {', '.join(known)}"


@cache
def _adapter(function: Callable[..., Any], name: str) -> TypeAdapter[Any] | None:
    try:
        one = type("One", (), {"__annotations__": {name: function.__annotations__[name]}})
        hints = get_type_hints(one, getattr(function, "__globals__", None), include_extras=True)
    except (NameError, KeyError):  # imported under TYPE_CHECKING, or not annotated
        return None
    annotation: Any = hints[name]
    return TypeAdapter(annotation, config=CONFIG)


def _checked(adapter: TypeAdapter[Any] | None, name: str, value: Any) -> Any:
    try:
        return value if adapter is None else adapter.validate_python(value)
    except ValidationError as error:
        raise UsageError(_explained(error, value, (), name)) from None


def _explained(error: ValidationError, values: Any, known: Iterable[str], name: str = "") -> str:
    """One line about the first value that is wrong, with all that would have been right in its place."""
    found: dict[str, list[Any]] = {}
    for one in error.errors(include_url=False):
        found.setdefault(_path(one, values, name), []).append(one)
    path, errors = next(iter(found.items()))
    first, expected = errors[0], []
    if first["type"] == "unexpected_keyword_argument":
        table, _, key = path.rpartition(".")
        return f"{table and table + ': '}unknown key {key!r}{near(key, known)}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{path} is missing"
    for one in errors:
        pattern: Any = _EXPECTED.get(one["type"], one["msg"].removeprefix("Input should be "))
        bounds = one.get("ctx", {}).items()
        text = pattern.format_map({k: f"{v:g}" if isinstance(v, float) else v for k, v in bounds})
        expected += [text] if text not in expected else []
    value = repr(_as_python(first["input"]))
    value = value if len(value) <= SHOWN else f"{value[:SHOWN]}..."
    choices = [word for one in errors for word in one.get("ctx", {}).get("expected", "").split("'")[1::2]]
    close = get_close_matches(str(first["input"]), choices, n=1, cutoff=0.6)
    return f"{path} is {value}; expected {' or '.join(expected)}" + (f", did you mean {close[0]!r}?" if close else "")


def _path(one: Any, values: Any, name: str) -> str:
    """Where a value lies, such as play.steps.quick; without the branches of a union, which pydantic names as well."""
    path, here = [name] if name else [], values
    for key in one["loc"]:
        if isinstance(here, Mapping) and key in here:
            path.append(str(key))
            here = here[key]
        elif one["type"] in ("missing", "missing_argument", "unexpected_keyword_argument"):
            path.append(str(key))
    return ".".join(path)
