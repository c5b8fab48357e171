"""Nonlinear least squares: Levenberg's and Marquardt's method with a numerical Jacobian. Pure, deterministic.

A handful of parameters and some dozen residuals need no library: each step solves the damped normal equations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Residuals = Callable[[Sequence[float]], list[float]]

STEP = 1e-5
STEPS = 100
ENOUGH = 1e-7
"""Relative gain of a step below which the search ends."""
STIFFEST = 1e10


def minimise(residuals: Residuals, start: Sequence[float]) -> list[float]:
    """The parameters, from `start` on, at which the sum of squared residuals has a minimum."""
    at, damping = list(start), 1e-2
    errors = residuals(at)
    cost = _squares(errors)
    for _ in range(STEPS):
        slopes = [_slope(residuals, at, errors, place) for place in range(len(at))]
        normal = [[_dot(a, b) for b in slopes] for a in slopes]
        downhill = [-_dot(slope, errors) for slope in slopes]
        while damping < STIFFEST:
            damped = [
                [value + (damping * (value + ENOUGH) if row == column else 0.0) for column, value in enumerate(values)]
                for row, values in enumerate(normal)
            ]
            moved = [x + step for x, step in zip(at, solve(damped, downhill), strict=True)]
            errors_there = residuals(moved)
            if _squares(errors_there) < cost:
                break
            damping *= 4
        else:
            return at
        gain = cost - _squares(errors_there)
        at, errors, cost, damping = moved, errors_there, cost - gain, damping / 9
        if gain <= ENOUGH * cost:
            return at
    return at


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The solution of a regular system of linear equations, by Gauss's elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(size):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[-1] / row[place] for place, row in enumerate(rows)]


def _slope(residuals: Residuals, at: Sequence[float], errors: Sequence[float], place: int) -> list[float]:
    aside = [x + STEP if index == place else x for index, x in enumerate(at)]
    return [(there - here) / STEP for there, here in zip(residuals(aside), errors, strict=True)]


def _squares(errors: Sequence[float]) -> float:
    return _dot(errors, errors)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
