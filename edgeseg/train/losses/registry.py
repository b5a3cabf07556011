"""Losses by name, and the language that a configuration names them in: ``ohem(0.7) + dice + lovasz(0.5)``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseg.errors import InputError
from edgeseg.plugins import Plugins

if TYPE_CHECKING:
    from torch import Tensor

    from edgeseg.train.losses.base import Loss

LOSSES: Plugins[Callable[..., Loss]] = Plugins(
    "edgeseg.losses",
    {
        "cross_entropy": "edgeseg.train.losses.cross_entropy:CrossEntropy",
        "ohem": "edgeseg.train.losses.cross_entropy:OnlineHardExamples",
        "balanced": "edgeseg.train.losses.balanced:Balanced",
        "dice": "edgeseg.train.losses.dice:Dice",
        "lovasz": "edgeseg.train.losses.lovasz:LovaszSoftmax",
        "boundary": "edgeseg.train.losses.boundary:Boundary",
        "distil": "edgeseg.train.losses.distil:Distil",
    },
)
"""What makes a loss of the weights of the classes and of numbers: its own first, then its weight in the sum."""

_REMEDY = "Write it as ohem(0.7) + dice, with numbers in parentheses"


def open_losses(text: str, class_weights: Tensor) -> dict[str, Loss]:
    """The terms of a loss by their names.

    Args:
        text: terms with ``+`` between them, each the name of one of :data:`LOSSES`, with or without its numbers.
        class_weights: (C,) float, how much each class counts.

    Raises:
        InputError: the text cannot be read, there is no such loss, or it does not take those numbers.
    """
    losses: dict[str, Loss] = {}
    for name, (numbers, named) in parse_losses(text).items():
        try:
            losses[name] = LOSSES[name](class_weights, *numbers, **named)
        except TypeError:
            takes = ", ".join(list(inspect.signature(LOSSES[name]).parameters)[1:])
            raise InputError(f"loss: {name} cannot be made with what stands behind it", f"It takes {takes}") from None
    return losses


def parse_losses(text: str) -> dict[str, tuple[tuple[float, ...], dict[str, float]]]:
    """The names of the terms, and the numbers of each: in order, and by name.

    Raises:
        InputError: as :func:`open_losses`, of what can be told without making one.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(f"loss is {text!r:.80}", _REMEDY) from None
    terms: dict[str, tuple[tuple[float, ...], dict[str, float]]] = {}
    for node in _summands(tree, text):
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if not isinstance(call.func, ast.Name):
            raise InputError(f"loss is {text!r:.80}", _REMEDY)
        name = call.func.id
        if name not in LOSSES:
            raise InputError(f"there is no loss {name!r}", f"Use {', '.join(LOSSES)}")
        if name in terms:
            raise InputError(f"loss names {name} twice", "Give it a weight instead")
        numbers = tuple(_number(one, text) for one in call.args)
        terms[name] = numbers, {str(one.arg): _number(one.value, text) for one in call.keywords}
    return terms


def _summands(tree: ast.expr, text: str) -> list[ast.expr]:
    summands: list[ast.expr] = []
    while isinstance(tree, ast.BinOp):
        if not isinstance(tree.op, ast.Add):
            raise InputError(f"loss is {text!r:.80}", _REMEDY)
        summands.append(tree.right)
        tree = tree.left
    return [tree, *reversed(summands)]


def _number(node: ast.expr, text: str) -> float:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise InputError(f"loss is {text!r:.80}", _REMEDY)
    return float(value)
