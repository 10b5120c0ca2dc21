"""Random numbers that depend only on a sample's address."""

import numpy as np


def generator(*address: int) -> np.random.Generator:
    """A separate generator for each address such as (seed, epoch, index, purpose), of whole numbers >= 0."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(address)))


class Dice:
    """Draws random values, with a readable method for each distribution."""

    def __init__(self, *address: int) -> None:
        self.rng = generator(*address)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def around(self, centre: float, spread: float) -> float:
        """Normally distributed with standard deviation `spread`, truncated at two standard deviations."""
        return centre + spread * float(np.clip(self.rng.standard_normal(), -2, 2))

    def ratio(self, low: float, high: float) -> float:
        """Uniformly distributed in the logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def happens(self, odds: float) -> bool:
        return bool(self.rng.random() < odds)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, inclusive."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, options, weights=None):
        """An element of a sequence. The weights need not add up to 1."""
        if weights is None:
            return options[int(self.rng.integers(len(options)))]
        shares = np.cumsum(np.asarray(weights, float))
        place = int(np.searchsorted(shares, self.rng.random() * shares[-1], side="right"))
        return options[min(place, len(options) - 1)]

    def side(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1
