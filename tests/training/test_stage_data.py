"""Which samples a step sees: the same however it is shared out, and from whichever step on."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.training import stage_data
from rvm_studio.training.data_config import DataConfig
from rvm_studio.training.recipe import BATCH_CLIPS, stages_for
from rvm_studio.training.stage_data import (
    Job,
    JobSampler,
    StageData,
    job_generator,
    load,
    mixed_seed,
    share,
    sides_generator,
)


@pytest.fixture
def data(small_preset):
    return StageData(DataConfig(), stages_for(small_preset)[2], small_preset, seed=5)


@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("clips", [1, 2, 3, 4, 9])
def test_a_batch_is_shared_out_evenly(clips, world):
    shares = [share(clips, rank, world) for rank in range(world)]
    batch = {one.clips * one.micro for one in shares}
    assert len(batch) == 1
    assert sum(one.own for one in shares) == shares[0].micro
    assert all(1 <= one.clips <= clips and one.own >= 1 for one in shares)
    if world in (1, 2, 4):
        assert batch == {BATCH_CLIPS}
    assert batch.pop() < BATCH_CLIPS + world


def micro_batches(data, clips: int, world: int, start: int, stop: int) -> dict[Job, list]:
    seen = {}
    for rank in range(world):
        sampler = JobSampler(data, share(clips, rank, world), start, stop)
        for job, addresses in zip(sampler.jobs(), sampler, strict=True):
            assert job not in seen
            seen[job] = addresses
    return seen


def test_processes_see_together_what_one_sees(data):
    one = micro_batches(data, 2, 1, 0, 6)
    assert one == micro_batches(data, 2, 2, 0, 6)
    assert {len(x) for x in one.values()} == {2}


def test_going_on_at_any_step_gives_the_rest(data):
    whole = micro_batches(data, 4, 1, 0, 7)
    for start in range(7):
        rest = micro_batches(data, 4, 1, start, 7)
        assert rest == {job: x for job, x in whole.items() if job.step >= start}


def test_an_epoch_takes_every_sample_once_and_the_next_in_another_order(data):
    for part in data.sets.values():
        part.length = 8
    for part in data.shuffles:
        data.shuffles[part].length = 8
    seen = micro_batches(data, 4, 1, 0, 4)
    low = [address for job, x in seen.items() if job.part == "low" for address in x]
    assert [epoch for _, epoch, _ in low] == [0] * 8 + [1] * 8
    first, second = [i for _, _, i in low[:8]], [i for _, _, i in low[8:]]
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second
    for kind in ("video", "image"):
        part = [address for job, x in seen.items() if job.part == f"segmentation/{kind}" for address in x]
        assert sorted(i for _, _, i in part) == list(range(8)), kind


def test_steps_run_their_passes_in_order(data):
    assert data.parts(0) == ["low", "high", "segmentation/video"]
    assert data.parts(1) == ["low", "high", "segmentation/image"]
    jobs = list(JobSampler(data, share(2), 0, 2).jobs())
    assert [(job.step, job.part, job.number) for job in jobs[:4]] == [
        (0, "low", 0), (0, "low", 1), (0, "high", 0), (0, "high", 1),
    ]  # fmt: skip


def test_without_segmentation_data_its_pass_is_left_out(small_preset, tmp_path):
    (tmp_path / "fgr").mkdir()
    data = StageData(DataConfig(), stages_for(small_preset)[0], small_preset, 0)
    del data.sets["segmentation/video"]
    assert data.missing == ("segmentation/video",)
    assert data.parts(0) == ["low"]
    assert data.parts(1) == ["low", "segmentation/image"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_workers_change_nothing(data, workers):
    sharing = share(4)
    jobs = list(load(data, sharing, 2, 4, workers, pin=False))
    assert [job for job, _ in jobs] == list(JobSampler(data, sharing, 2, 4).jobs())
    for (job, batch), addresses in zip(jobs, JobSampler(data, sharing, 2, 4), strict=True):
        alone = data[addresses[-1]]
        name = "img" if job.part.startswith("segmentation") else "fgr"
        assert torch.equal(batch[name][-1], alone[name])
        assert batch["id"][-1] == alone["id"]


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_fails_for_good_says_so_in_its_own_words(data, workers, monkeypatch):
    def fail(self, address):
        raise StudioError("10 samples could not be read")

    monkeypatch.setattr(stage_data.StageData, "__getitem__", fail)
    with pytest.raises(StudioError, match=r"^10 samples could not be read$"):
        next(load(data, share(4), 0, 1, workers, pin=False))


def test_random_numbers_depend_on_the_micro_batch_and_sides_on_the_step_alone():
    def draw(generator: torch.Generator) -> float:
        return torch.rand(1, generator=generator).item()

    one, two = Job(3, "low", 0), Job(3, "low", 1)
    assert draw(job_generator(1, 1, one)) == draw(job_generator(1, 1, one))
    others = [(1, 1, two), (2, 1, one), (1, 2, one), (1, 1, Job(4, "low", 0)), (1, 1, Job(3, "high", 0))]
    numbers = [draw(job_generator(*x)) for x in [(1, 1, one), *others]]
    assert len(set(numbers)) == len(numbers)
    assert draw(sides_generator(1, 1, one)) == draw(sides_generator(1, 1, two))
    assert 0 <= mixed_seed(1, 2) < 2**63
