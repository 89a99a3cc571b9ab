# SPDX-License-Identifier: Apache-2.0
"""Numbers of 60 digits that carry their derivatives, and a scale that says how right a double can be.

A number's scale is the sum of the magnitudes of the terms that its formula adds: |value| where nothing cancels. It is
what an error can fairly be compared with: double arithmetic cannot know 1 - x better than to 1e-16 where x is near 1.
What a sum loses to cancellation is handed on by the functions that are taken of it, see chain().
"""
from __future__ import annotations

import dataclasses
from fractions import Fraction

import mpmath
from mpmath import mpf

mpmath.mp.dps = 60

VARIABLES = ("policy_chosen_logp", "policy_rejected_logp", "beta", "gamma")
ZERO, HALF, ONE = mpf(0), mpf("0.5"), mpf(1)
TOLERANCE, ROUNDING = mpf("1e-12"), mpf("1e-50")
# The least scale of a product or of a function's value: below the smallest normal double, each step of a formula may be
# off by two last bits, and a sigmoid's product with h = 1000 by 2000 of them.
LEAST_SCALE = 2 * mpf("5e-324") / TOLERANCE


def to_mpf(x):
    return mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mpf(x)


# ---- numbers that carry derivatives and scales


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A value and the sum of the magnitudes of the terms it was added up from."""
    value: mpf
    scale: mpf

    @staticmethod
    def exact(x):
        value = to_mpf(x)
        return Scaled(value, abs(value))

    @property
    def lost(self):
        """Scale above |value|: times the tolerance, by how much the value may be off."""
        lost = self.scale - abs(self.value)
        return lost if lost > self.scale * ROUNDING else ZERO

    def __add__(self, other):
        if self is NOTHING or other is NOTHING:
            return other if self is NOTHING else self
        return Scaled(self.value + other.value, self.scale + other.scale)

    def __neg__(self):
        return self if self is NOTHING else Scaled(-self.value, self.scale)

    def __mul__(self, other):
        if self is NOTHING or other is NOTHING:
            return NOTHING
        scale = self.scale * other.scale
        return Scaled(self.value * other.value, max(scale, LEAST_SCALE))


NOTHING = Scaled(ZERO, ZERO)


class Number:
    """A value with its derivatives by VARIABLES, all Scaled."""

    def __init__(self, size, slopes=(NOTHING,) * 4):
        self.size, self.slopes = size, slopes

    @property
    def value(self):
        return self.size.value

    @property
    def scale(self):
        return self.size.scale

    def __add__(self, other):
        if not isinstance(other, Number):
            return Number(self.size + Scaled.exact(other), self.slopes)
        return Number(self.size + other.size, [a + b for a, b in zip(self.slopes, other.slopes)])

    def __neg__(self):
        return Number(-self.size, [-s for s in self.slopes])

    def __sub__(self, other):
        return self + -other

    def __mul__(self, other):
        if not isinstance(other, Number):
            factor = Scaled.exact(other)
            return Number(self.size * factor, [s * factor for s in self.slopes])
        return Number(self.size * other.size,
                      [a * other.size + self.size * b for a, b in zip(self.slopes, other.slopes)])

    def __truediv__(self, constant):
        return self * (1 / Fraction(constant))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return other + -self


def as_number(x):
    return x if isinstance(x, Number) else Number(Scaled.exact(x))


def exact(value, by_chosen=0, by_rejected=0, by_beta=0, by_gamma=0):
    """What is claimed to be right to the last bit, with its derivatives: fractions or Scaled."""
    slopes = (by_chosen, by_rejected, by_beta, by_gamma)
    size = value if isinstance(value, Scaled) else Scaled.exact(value)
    return Number(size, [s if isinstance(s, Scaled) else Scaled.exact(s) if s else NOTHING for s in slopes])


def chain(x, function, slope, peak=None):
    """f(x) of the Number x from f and f'. `peak` is where f' is largest, if anywhere."""
    value, gradient = function(x.value), slope(x.value)
    value = Scaled(value, max(LEAST_SCALE, abs(value)) + spread(function, x, value))
    gradient = Scaled(gradient, max(LEAST_SCALE, abs(gradient)) + spread(slope, x, gradient, peak))
    return Number(value, [gradient * s for s in x.slopes])


def spread(function, x, value, peak=None):
    """How far f(x) moves, in units of the tolerance, where x moves by the tolerance times what it lost."""
    if not x.size.lost:
        return ZERO
    reach = TOLERANCE * x.size.lost
    ends = [x.value - reach, x.value + reach] + ([peak] if peak is not None and abs(x.value - peak) < reach else [])
    return max(abs(function(end) - value) for end in ends) / TOLERANCE


class Undecided(ValueError):
    """A choice between values far apart that is a matter of rounding."""


# ---- functions


def exp_of_minus_magnitude(x):
    """exp(-|x|). From |x| = 2^20000 on it is 0: no product with anything here could be told from 0."""
    return mpmath.exp(-abs(x)) if mpmath.mag(x) < 20000 else ZERO


def plain_sigmoid(x):
    e = exp_of_minus_magnitude(x)
    return ONE / (1 + e) if x >= 0 else e / (1 + e)


def plain_softplus(x):
    return max(x, ZERO) + mpmath.log1p(exp_of_minus_magnitude(x))


def sigmoid_of(x):
    return chain(x, plain_sigmoid, lambda t: plain_sigmoid(t) * plain_sigmoid(-t), peak=ZERO)


def softplus(x):
    """log(1 + exp(x))"""
    return chain(x, plain_softplus, plain_sigmoid)


def exp_of(x):
    return chain(x, mpmath.exp, mpmath.exp)


def square(x):
    return chain(x, lambda t: t**2, lambda t: 2 * t)


def positive_part(x):
    """max(0, x); at 0 the derivative is that of the flat side."""
    if x.value != 0 and abs(x.value) <= mpf("1e-14") * x.scale:
        raise Undecided("the side of a kink")
    return x if x.value > 0 else as_number(0)


def log1mexp(x):
    """log(1 - exp(x)), x < 0"""
    return chain(x, lambda t: mpmath.log(-mpmath.expm1(t)), lambda t: mpmath.exp(t) / mpmath.expm1(t))
