"""Random numbers that depend on a sample's address and on nothing else."""

import numpy as np


def generator(*address: int) -> np.random.Generator:
    """A generator of its own for an address such as (seed, epoch, index, purpose); whole numbers from 0."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(address)))


class Dice:
    """Draws in the words of what is drawn."""

    def __init__(self, *address: int) -> None:
        self.rng = generator(*address)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def around(self, centre: float, spread: float) -> float:
        """Bell-shaped (of deviation `spread`), cut at two deviations."""
        return centre + spread * float(np.clip(self.rng.standard_normal(), -2, 2))

    def ratio(self, low: float, high: float) -> float:
        """Even in the logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def happens(self, odds: float) -> bool:
        return bool(self.rng.random() < odds)

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, options, weights=None):
        """One of a sequence; `weights` need not add up to 1."""
        if weights is None:
            return options[int(self.rng.integers(len(options)))]
        shares = np.cumsum(np.asarray(weights, float))
        place = int(np.searchsorted(shares, self.rng.random() * shares[-1], side="right"))
        return options[min(place, len(options) - 1)]

    def side(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1
