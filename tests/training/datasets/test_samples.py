"""Addresses, orders and replacements."""

import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.training.datasets.samples import (
    ATTEMPTS,
    CheckResult,
    FileDataset,
    Joined,
    Shuffle,
    UnreadableSampleError,
    collate,
)


class Numbers(FileDataset):
    """Sample k is the number k; `broken` ones cannot be read."""

    name = "numbers"

    def __init__(self, length: int, broken=(), seed: int = 3) -> None:
        super().__init__(seed)
        self.length, self.broken = length, set(broken)

    def __len__(self) -> int:
        return self.length

    def load(self, index, dice):
        if index in self.broken:
            raise UnreadableSampleError(f"{index}.jpg is broken.")
        return {"img": torch.tensor([index]), "draw": dice.between(0, 1), "id": f"number {index}"}


def test_every_epoch_has_every_sample_once_in_its_own_order():
    first, second = (Shuffle(20, 1).order(epoch).tolist() for epoch in (0, 1))
    for order in (first, second):
        assert sorted(order) == list(range(20))
    assert first != second
    assert first != Shuffle(20, 2).order(0).tolist()
    assert second == Shuffle(20, 1).order(1).tolist()


def test_a_sample_depends_on_its_address_alone():
    data, again = Numbers(5), Numbers(5)
    for address in ((0, 1), (4, 1), (0, 2)):
        assert data[address] == again[address]
    assert data[1] == data[0, 1]
    assert data[0, 1]["draw"] != data[1, 1]["draw"]
    assert Numbers(5, seed=4)[1]["draw"] != data[1]["draw"]


def test_a_broken_sample_is_replaced_and_told():
    data = Numbers(30, broken=(4, 5))
    found = data[2, 4]
    assert found["img"].item() not in (4, 5)
    assert "4.jpg" in found["faults"][0]
    assert found == Numbers(30, broken=(4, 5))[2, 4]
    assert data[2, 6]["faults"] == ()
    replacements = {data[epoch, 4]["img"].item() for epoch in range(12)}
    assert len(replacements) > 3  # not always the same one


def test_a_data_set_of_broken_samples_gives_up():
    with pytest.raises(StudioError, match="numbers"):
        Numbers(3, broken=range(3))[0]
    assert ATTEMPTS >= 3


@pytest.mark.parametrize("index", [-1, 5])
def test_there_is_no_sample_outside(index):
    with pytest.raises(IndexError):
        Numbers(5)[index]


def test_joined_sets_follow_each_other():
    joined = Joined([Numbers(2), Numbers(3)])
    assert len(joined) == 5
    assert [joined[k]["img"].item() for k in range(5)] == [0, 1, 0, 1, 2]
    assert joined[7, 3]["draw"] == Numbers(3)[7, 1]["draw"]
    with pytest.raises(IndexError):
        joined[5]


def test_collate_stacks_tensors_and_gathers_faults():
    data = Numbers(30, broken=(1,))
    batch = collate([data[0], data[1], data[2]])
    assert batch["img"].shape == (3, 1)
    assert batch["id"][0] == "number 0"
    assert len(batch["faults"]) == 1
    with pytest.raises(AssertionError, match="img"):
        collate([{"img": torch.zeros(1)}, {"img": torch.zeros(2)}])


def test_a_loader_in_processes_gives_the_same():
    data = Numbers(11, broken=(3,))
    made = []
    for workers in (0, 2):
        addresses = [(epoch, int(index)) for epoch in (0, 1) for index in Shuffle(11, 8).order(epoch)]
        loader = torch.utils.data.DataLoader(data, 3, sampler=addresses, collate_fn=collate, num_workers=workers)
        made.append([(b["img"].tolist(), b["draw"], b["faults"]) for b in loader])
    assert made[0] == made[1]


def test_numpy_indices_are_taken():
    assert Numbers(5)[np.int64(2)]["img"].item() == 2


def test_a_check_reads_well():
    good = CheckResult("Some set", 12, ("One file is missing.",), "MIT")
    assert str(good) == "Some set: 12 samples (MIT)\n  - One file is missing."
    assert good.usable
    assert "not usable" in str(CheckResult("Some set", 0, (), "MIT"))
