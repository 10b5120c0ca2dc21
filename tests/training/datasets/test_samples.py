"""Addresses, orders and replacements."""

from itertools import islice

import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.training.datasets.samples import (
    ATTEMPTS,
    AddressSampler,
    CheckResult,
    FileDataset,
    Joined,
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


def take(sampler: AddressSampler, number: int) -> list:
    return list(islice(sampler, number))


def test_every_epoch_holds_every_sample_once_in_an_order_of_its_own():
    first, second = (take(AddressSampler(20, 1, start=20 * epoch), 20) for epoch in (0, 1))
    assert [epoch for epoch, _ in first + second] == [0] * 20 + [1] * 20
    for taken in (first, second):
        assert sorted(index for _, index in taken) == list(range(20))
    assert [k for _, k in first] != [k for _, k in second]
    assert [k for _, k in first] != [k for _, k in take(AddressSampler(20, 2), 20)]


@pytest.mark.parametrize("start", [0, 1, 7, 19, 20, 45])
def test_a_run_goes_on_where_it_was(start):
    whole = take(AddressSampler(20, 5), 80)
    assert take(AddressSampler(20, 5, start=start), 80 - start) == whole[start:]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_order(world):
    whole = take(AddressSampler(20, 5), 60)
    for rank in range(world):
        assert take(AddressSampler(20, 5, rank=rank, world=world), 60 // world) == whole[rank::world]


def test_validation_is_in_order():
    assert take(AddressSampler(3, 0, shuffle=False), 5) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


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
        loader = torch.utils.data.DataLoader(
            data, 3, sampler=AddressSampler(11, 8), collate_fn=collate, num_workers=workers
        )
        batches = list(islice(loader, 6))
        made.append([(b["img"].tolist(), b["draw"], b["faults"]) for b in batches])
    assert made[0] == made[1]


def test_numpy_indices_are_taken():
    assert Numbers(5)[np.int64(2)]["img"].item() == 2


def test_a_check_reads_well():
    good = CheckResult("Some set", 12, ("One file is missing.",), "MIT")
    assert str(good) == "Some set: 12 samples (MIT)\n  - One file is missing."
    assert good.usable
    assert "not usable" in str(CheckResult("Some set", 0, (), "MIT"))
