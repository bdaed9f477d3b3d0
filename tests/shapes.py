"""Shapes that annotations say, such as `Float[Tensor, "B D"]`, are checked at every call that a test makes.

jaxtyping's import hook (tests/conftest.py) puts `checked` on the functions of some packages. Without it, and so for
users, annotations cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def checked(function: Callable) -> Callable:
    """beartype for annotations with a shape alone: a test's double of a level need not be a whole one."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if says_shape(hint)}
    return beartype(function)


def says_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(says_shape(part) for part in get_args(hint))
