"""A step's passes: the golden gradients, the optimiser's groups, what is skipped, recomputation."""

# B clips, T frames, h, w

import copy
import json
import logging

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.network.backbone import IMAGENET_MEAN, IMAGENET_STD
from rvm_studio.training.augmentation import MattingBatch, SegmentationBatch
from rvm_studio.training.distributed import World
from rvm_studio.training.recipe import STAGES, LearningRates
from rvm_studio.training.recomputation import recompute_activations
from rvm_studio.training.step import Trainer, make_optimiser, pass_loss, train_mode

RATES = LearningRates(1e-4, 2e-4, 3e-4, 4e-4)


def matting_batch(b: int = 1, t: int = 2, h: int = 64, w: int = 66, seed: int = 0) -> MattingBatch:
    dice = torch.Generator().manual_seed(seed)
    src, fgr = (torch.rand(b, t, 3, h, w, generator=dice) for _ in range(2))
    return MattingBatch(src, fgr, torch.rand(b, t, 1, h, w, generator=dice))


def segmentation_batch(b: int = 2, t: int = 1) -> SegmentationBatch:
    dice = torch.Generator().manual_seed(1)
    return SegmentationBatch(
        torch.rand(b, t, 3, 64, 64, generator=dice), torch.rand(b, t, 1, 64, 64, generator=dice).round()
    )


@pytest.fixture(scope="module")
def fresh_state():
    torch.manual_seed(3)
    return MattingNetwork().state_dict()


@pytest.fixture
def network(fresh_state):
    network = MattingNetwork()
    network.load_state_dict(fresh_state)
    return network


def trainer_of(network: MattingNetwork, rates: LearningRates = RATES, **settings) -> Trainer:
    train_mode(network)
    optimiser = make_optimiser(network, rates)
    assert optimiser is not None
    return Trainer(network, optimiser, World(), **settings)


def state_of(network: MattingNetwork) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in network.state_dict().items()}


@pytest.mark.parametrize("recomputed", [False, True])
def test_the_golden_step(golden, reference, filled_state_dict, recomputed):
    tensors, metadata = golden("h_train_step")
    network = MattingNetwork()
    network.load_state_dict(filled_state_dict(network), strict=True)
    network.double()
    network.backbone.mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64).view(3, 1, 1)
    network.backbone.std = torch.tensor(IMAGENET_STD, dtype=torch.float64).view(3, 1, 1)
    train_mode(network)
    if recomputed:
        recompute_activations(network, 1)
    batch = MattingBatch(*(tensors[name].double() for name in ("src", "true_fgr", "true_pha")))
    loss, terms = pass_loss(network, batch, json.loads(metadata["kwargs"])["downsample_ratio"])
    for term, expected in json.loads(metadata["loss"]).items():
        assert terms[term].item() == pytest.approx(expected, rel=1e-6), term
    loss.backward()
    rows = [line.split("\t") for line in (reference / "golden" / "h_train_step.txt").read_text().splitlines()]
    parameters, state = dict(network.named_parameters()), network.state_dict()
    compared = 0
    for key, *numbers in rows:
        if key.startswith("#"):
            continue
        value = parameters[key].grad if key in parameters else state[key]
        if numbers[0] == "none":
            assert value is None, key
            continue
        norm, total = map(float, numbers)
        assert value is not None, key
        assert value.norm().item() == pytest.approx(norm, rel=1e-6, abs=1e-12), key
        assert value.sum().item() == pytest.approx(total, rel=1e-5, abs=max(1e-6 * norm, 1e-12)), key
        compared += 1
    assert compared > 250


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenetv3", "resnet50"])
def test_recomputation_changes_neither_gradients_nor_statistics(variant):
    """Twice in a row, so that statistics counted twice would show in the second forward too."""
    torch.manual_seed(0)
    plain = MattingNetwork(variant).double()
    saving = copy.deepcopy(plain)
    recompute_activations(saving, 2)
    batch = MattingBatch(*(x.double() for x in matting_batch(t=5)))
    for network in (plain, saving):
        train_mode(network)
        for _ in range(2):
            loss, _ = pass_loss(network, batch)
            loss.backward()
    assert plain.state_dict().keys() == saving.state_dict().keys()
    for name, x in plain.state_dict().items():
        assert torch.allclose(x.double(), saving.state_dict()[name].double(), rtol=1e-9, atol=1e-12), name
    theirs = dict(saving.named_parameters())
    for name, x in plain.named_parameters():
        other = theirs[name].grad
        assert (x.grad is None) == (other is None), name
        if x.grad is not None:
            assert torch.allclose(x.grad, other, rtol=1e-7, atol=1e-10), name


def test_recomputation_keeps_less_memory():
    """Counted in bytes of what autograd saves: tensors that are parameters left out."""

    def saved(network: MattingNetwork) -> int:
        seen: dict[int, int] = {}
        owned = {x.untyped_storage().data_ptr() for x in network.parameters()}

        def pack(x: torch.Tensor) -> torch.Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in owned:
                seen[storage.data_ptr()] = storage.nbytes()
            return x

        train_mode(network)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            loss, _ = pass_loss(network, matting_batch(t=6))
        del loss
        return sum(seen.values())

    network = MattingNetwork()
    whole = saved(network)
    recompute_activations(network, 2)
    assert saved(network) < 0.5 * whole


@pytest.mark.slow
@pytest.mark.versions
def test_a_step_trains_exactly_the_groups_of_its_stage(network):
    """Stage 1 leaves the refiner; a matting pass leaves the segmentation head and the other way round."""
    before = state_of(network)
    trainer = trainer_of(network, STAGES[0].rates)
    assert [g["name"] for g in trainer.optimiser.param_groups] == ["backbone", "aspp", "decoder"]
    trainer.run_pass("low", [(matting_batch(), ["a"])], 1)
    names = {name for name, _ in network.named_parameters()}
    changed = {name for name in names if not torch.equal(before[name], network.state_dict()[name])}
    heads = {name.split(".")[0] for name in changed}
    assert heads == {"backbone", "aspp", "decoder", "project_mat"}
    middle = state_of(network)
    trainer.run_pass("segmentation/image", [(segmentation_batch(), ["b"])], 1)
    changed = {name for name in names if not torch.equal(middle[name], network.state_dict()[name])}
    assert {name.split(".")[0] for name in changed} == {"backbone", "aspp", "decoder", "project_seg"}


def test_the_first_step_of_each_group_is_as_long_as_its_rate(network):
    """Adam's first step is its rate where the gradient is far above epsilon, whatever the gradient."""
    before = state_of(network)
    trainer = trainer_of(network)
    trainer.run_pass("high", [(matting_batch(h=128, w=128), ["a"])], 1, ratio=0.5)
    modules = {"backbone": 1e-4, "aspp": 2e-4, "decoder": 3e-4, "project_mat": 3e-4, "refiner": 4e-4}
    for module, rate in modules.items():
        steps = [
            (x.detach() - before[f"{module}.{name}"]).abs().max().item()
            for name, x in getattr(network, module).named_parameters()
        ]
        assert max(steps) == pytest.approx(rate, rel=0.01), module


def test_frozen_backbone_stays_bit_for_bit(network):
    before = state_of(network)
    train_mode(network, ("backbone",))
    optimiser = make_optimiser(network, RATES, ("backbone",))
    assert optimiser is not None
    Trainer(network, optimiser, World()).run_pass("low", [(matting_batch(), ["a"])], 1)
    after = network.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items() if name.startswith("backbone."))
    assert not torch.equal(before["aspp.aspp1.0.weight"], after["aspp.aspp1.0.weight"])
    assert make_optimiser(network, LearningRates(0, 0, 0, 0)) is None


def test_accumulation_is_the_mean_of_the_micro_batches(network):
    """With fixed statistics two clips one after the other are two clips at once."""
    other = copy.deepcopy(network)
    batch = matting_batch(b=2)
    halves = [MattingBatch(*(x[k : k + 1] for x in batch)) for k in range(2)]
    gradients = []
    for net, parts in ((network, [batch]), (other, halves)):
        train_mode(net, ("backbone", "aspp", "decoder"))
        optimiser = make_optimiser(net, RATES)
        assert optimiser is not None
        result = Trainer(net, optimiser, World()).run_pass("low", [(part, ["x"]) for part in parts], len(parts))
        gradients.append([x.grad.clone() for x in net.parameters() if x.grad is not None])
        assert result.terms["total"] > 0
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two, rtol=1e-3, atol=1e-5 * float(one.abs().max()) + 1e-8)


def test_without_foreground_loss_only_alpha_counts(network):
    batch = matting_batch()
    train_mode(network)
    loss, terms = pass_loss(network, batch, foreground=False)
    assert loss.item() == pytest.approx(sum(terms[x].item() for x in ("pha_l1", "pha_laplacian", "pha_coherence")))
    assert terms["fgr_l1"] > 0
    loss.backward()
    assert not network.project_mat.conv.weight.grad[:3].any()
    assert network.project_mat.conv.weight.grad[3:].any()


@pytest.mark.parametrize("broken", ["loss", "gradient", "exploding"])
def test_a_bad_batch_is_undone_told_and_counted(network, caplog, broken):
    trainer = trainer_of(network)
    trainer.run_pass("low", [(matting_batch(), ["good/0"])], 1)
    before, adam = state_of(network), copy.deepcopy(trainer.optimiser.state_dict())
    batch = matting_batch(seed=1)
    if broken == "loss":
        batch.src[0, 1, 0, 5, 5] = float("nan")
    elif broken == "gradient":
        handle = network.project_mat.conv.weight.register_hook(lambda g: g * float("inf"))
    else:
        trainer.usual["low"] = (100, 1e-3)
    with caplog.at_level(logging.WARNING):
        result = trainer.run_pass("low", [(batch, ["bad/17", "bad/18"])], 1)
    assert result.skipped
    assert (trainer.skipped, trainer.skipped_in_a_row) == (1, 1)
    assert "bad/17, bad/18" in caplog.text
    assert "skipped (1 so far)" in caplog.text
    after = network.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items())
    now = trainer.optimiser.state_dict()["state"]
    assert all(torch.equal(x, now[k][name]) for k, of in adam["state"].items() for name, x in of.items())
    if broken == "gradient":
        handle.remove()
    trainer.usual.clear()
    assert not trainer.run_pass("low", [(matting_batch(), ["good/1"])], 1).skipped
    assert (trainer.skipped, trainer.skipped_in_a_row) == (1, 0)


def test_bfloat16_keeps_the_losses_in_float32(network):
    trainer = trainer_of(network, precision=torch.bfloat16)
    seen = []
    network.project_mat.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    result = trainer.run_pass("low", [(matting_batch(), ["a"])], 1)
    assert seen == [torch.bfloat16]
    exact = trainer_of(copy.deepcopy(network)).run_pass("low", [(matting_batch(), ["a"])], 1)
    assert result.terms["total"] != exact.terms["total"]
    loss, terms = pass_loss(network, matting_batch())
    assert all(x.dtype == torch.float32 for x in (loss, *terms.values()))
