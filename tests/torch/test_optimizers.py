"""The optimizers of `lrcore.torch` beside those of torch itself."""

import copy
import inspect
import io
import pickle

import numpy as np
import pytest
from backends import use_backend

torch = pytest.importorskip("torch")

import lrcore  # noqa: E402
from lrcore.torch import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RMSprop  # noqa: E402

OPTIONS = [
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.002, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"alpha": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.1}),
    ("Adamax", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.1}),
]
#: Of float32 and float64; torch keeps the product of NAdam's momenta in float32.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
DTYPES = list(TOLERANCE)
NAMES = [f"{name}-{k}" for k, (name, _) in enumerate(OPTIONS)]


def network(dtype=torch.float64):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*layers).to(dtype)


def gradients(module, t):
    """Set those of a batch that depends on t only."""
    p = module[0].weight
    draw = torch.Generator().manual_seed(t)
    X = torch.randn(8, p.shape[1], generator=draw, dtype=torch.float64).to(p.dtype)
    module.zero_grad()
    loss = (module(X) - X[:, :3]).square().mean()
    loss.backward()
    return loss


def train(module, optimizer, steps, scheduler=None):
    for t in steps:
        gradients(module, t)
        optimizer.step()
        if scheduler:
            scheduler.step()


def distance(a, b):
    return max((p - q).abs().max().item() for p, q in zip(a.parameters(), b.parameters()))


def pair(name, options, dtype=torch.float64):
    theirs, ours = network(dtype), network(dtype)
    return (
        (theirs, getattr(torch.optim, name)(theirs.parameters(), **options)),
        (ours, getattr(lrcore.torch, name)(ours.parameters(), **options)),
    )


def tolerance(name, dtype):
    return 1e-8 if name == "NAdam" and dtype == torch.float64 else TOLERANCE[dtype]


def check_same_state(theirs, ours, tol):
    a, b = theirs.state_dict(), ours.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for i, state in a["state"].items():
        assert state.keys() == b["state"][i].keys()
        for key, value in state.items():
            other = b["state"][i][key]
            assert value.dtype == other.dtype
            assert key == "momentum_buffer" or value.stride() == other.stride()
            assert torch.allclose(value, other, rtol=tol, atol=tol), key


# ---- trajectories -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name, options", OPTIONS, ids=NAMES)
def test_the_trajectory_and_the_state_are_those_of_torch(name, options, dtype):
    both = pair(name, options, dtype)
    for module, optimizer in both:
        assert isinstance(optimizer, getattr(torch.optim, name))
        for t in range(30):
            gradients(module, t)
            if t % 5 == 2:  # steps are counted for each parameter
                module[0].bias.grad = None
            if t == 20:
                optimizer.param_groups[0]["lr"] *= 0.5
            optimizer.step()
    (theirs, their_optimizer), (ours, our_optimizer) = both
    assert distance(ours, network(dtype)) > 1e-3
    assert distance(theirs, ours) < tolerance(name, dtype)
    check_same_state(their_optimizer, our_optimizer, 10 * tolerance(name, dtype))


@pytest.mark.parametrize("name, options", OPTIONS, ids=NAMES)
def test_states_go_from_torch_to_lrcore_and_back(name, options):
    (theirs, reference), (ours, optimizer) = pair(name, options)
    train(theirs, reference, range(20))
    half, first = network(), getattr(torch.optim, name)
    other = first(half.parameters(), **options)
    train(half, other, range(5))
    ours.load_state_dict(half.state_dict())
    optimizer.load_state_dict(other.state_dict())
    train(ours, optimizer, range(5, 12))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    last = network()
    last.load_state_dict(ours.state_dict())
    back = first(last.parameters(), **options)
    back.load_state_dict(torch.load(file, weights_only=True))
    train(last, back, range(12, 20))
    assert distance(theirs, last) < tolerance(name, torch.float64)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name, options", OPTIONS, ids=NAMES)
def test_copies_go_on_with_the_same_bits(name, options, copied):
    _, (module, optimizer) = pair(name, {**options})
    optimizer.n_threads = 1
    train(module, optimizer, range(4))
    module2, optimizer2 = copied((module, optimizer))
    train(module, optimizer, range(4, 9))
    train(module2, optimizer2, range(4, 9))
    assert distance(module, module2) == 0
    assert optimizer2.n_threads == 1


def test_lion_steps_as_its_rule():
    w = torch.nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    array = w.detach().numpy().copy()
    ours = Lion([w], lr=0.01, weight_decay=0.1, maximize=True)
    rule = lrcore.Lion(0.01, weight_decay=0.1, maximize=True)
    reference = lrcore.Optimizer(array, rule)
    for t in range(10):
        w.grad = torch.sin(torch.arange(7.0, dtype=torch.float64) + t)
        ours.step()
        reference.step(w.grad.numpy())
    assert np.array_equal(array, w.detach().numpy())


def test_bits_depend_neither_on_threads_nor_on_the_backend(monkeypatch):
    found = []
    for n_threads, backend in [(1, None), (3, None), (1, "numpy")]:
        if backend:
            use_backend(monkeypatch, backend)
        module = network(torch.float32)
        optimizer = AdamW(module.parameters(), n_threads=n_threads, nonfinite="raise")
        train(module, optimizer, range(6))
        found.append(torch.cat([p.detach().reshape(-1) for p in module.parameters()]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


# ---- what training loops do ---------------------------------------------------------------------


def test_parameter_groups_have_options_of_their_own():
    def groups(module):
        weights = [p for p in module.parameters() if p.dim() > 1]
        biases = [p for p in module.parameters() if p.dim() == 1]
        return [{"params": weights, "amsgrad": True}, {"params": biases, "weight_decay": 0.0,
                                                       "lr": 0.1, "betas": (0.5, 0.9)}]  # fmt: skip

    theirs, ours = network(), network()
    reference = torch.optim.AdamW(groups(theirs), lr=0.01, weight_decay=0.2)
    optimizer = AdamW(groups(ours), lr=0.01, weight_decay=0.2)
    train(theirs, reference, range(10))
    train(ours, optimizer, range(10))
    for each, module in ((reference, theirs), (optimizer, ours)):
        extra = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        module.register_parameter("extra", extra)
        each.add_param_group({"params": [extra], "lr": 0.3})
        for t in range(10, 15):
            gradients(module, t)
            extra.grad = torch.full_like(extra, t)
            each.step()
    assert distance(theirs, ours) < 1e-12
    check_same_state(reference, optimizer, 1e-12)


@pytest.mark.parametrize("scheduler", [
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=20),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=4),
    lambda o: lrcore.schedules.Cosine(0.1, steps=20).warmup(5).to_torch(o),
])  # fmt: skip
def test_schedulers_of_torch_and_schedules_of_lrcore(scheduler):
    (theirs, reference), (ours, optimizer) = pair("AdamW", {"lr": 0.01})
    train(theirs, reference, range(20), scheduler(reference))
    train(ours, optimizer, range(20), scheduler(optimizer))
    assert distance(theirs, ours) < 1e-12
    assert optimizer.param_groups[0]["lr"] == reference.param_groups[0]["lr"]


def test_a_rate_that_is_a_tensor_is_read_at_every_step():
    rate = torch.tensor(0.5, dtype=torch.float64)
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = SGD([w], lr=rate)
    for _ in range(2):
        w.grad = torch.ones_like(w)
        optimizer.step()
        rate *= 0.5
    assert w.item() == -0.75


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned():
    _, (module, optimizer) = pair("Adam", {})
    with torch.no_grad():
        loss = optimizer.step(lambda: gradients(module, 0))
    assert loss.item() == gradients(network(), 0).item()
    assert optimizer.step() is None


def test_frozen_parameters_have_no_state_until_they_are_stepped():
    both = pair("Adam", {"lr": 0.01})
    for module, optimizer in both:
        module[0].requires_grad_(False)
        train(module, optimizer, range(3))
        assert len(optimizer.state) == 2
        module[0].requires_grad_(True)
        train(module, optimizer, range(3, 6))
        module[2].requires_grad_(False)
        train(module, optimizer, range(6, 9))
    assert distance(both[0][0], both[1][0]) < 1e-12
    check_same_state(both[0][1], both[1][1], 1e-12)
    assert [s["step"].item() for s in both[1][1].state.values()] == [6.0, 6.0, 6.0, 6.0]


def test_nothing_happens_without_gradients():
    _, (module, optimizer) = pair("Adam", {})
    optimizer.step()
    gradients(module, 0)
    optimizer.zero_grad()
    optimizer.step()
    assert distance(module, network()) == 0
    assert not optimizer.state


def test_parameters_and_states_are_stepped_where_they_are():
    _, (module, optimizer) = pair("Adam", {})
    train(module, optimizer, range(2))
    tensors = [*module.parameters(), *(t for s in optimizer.state.values() for t in s.values())]
    before = [t.data_ptr() for t in tensors]
    train(module, optimizer, range(2, 40))
    optimizer.param_groups[0]["lr"] = 0.1
    train(module, optimizer, range(40, 42))
    assert before == [t.data_ptr() for t in tensors]
    again = [*module.parameters(), *(t for s in optimizer.state.values() for t in s.values())]
    assert all(a is b for a, b in zip(tensors, again))


def change_data(module, optimizer):
    for p in module.parameters():
        p.data = p.data.clone() + 0.5


def change_state(module, optimizer):
    state = optimizer.state[module[0].weight]
    state["exp_avg"] = torch.ones_like(state["exp_avg"])
    optimizer.state[module[2].bias]["exp_avg_sq"].mul_(4.0)
    optimizer.state[module[0].bias]["step"].fill_(1.0)
    del optimizer.state[module[2].weight]


def clear_state(module, optimizer):
    optimizer.state.clear()


def change_rule(module, optimizer):
    for state in optimizer.state.values():
        state["max_exp_avg_sq"] = state["exp_avg_sq"] * 3.0
    optimizer.param_groups[0]["amsgrad"] = True


def drop_parameters(module, optimizer):
    optimizer.param_groups[0]["params"] = [module[0].weight, module[2].bias]


CHANGES = [change_data, change_state, clear_state, change_rule, drop_parameters]


@pytest.mark.parametrize("change", CHANGES)
def test_what_others_change_between_two_steps_counts(change):
    both = pair("Adam", {"lr": 0.01})
    for module, optimizer in both:
        train(module, optimizer, range(4))
        change(module, optimizer)
        train(module, optimizer, range(4, 8))
    assert distance(both[0][0], both[1][0]) < 1e-12


def test_a_step_between_forward_and_backward_is_noticed():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = SGD([w], lr=0.1)
    loss = (w * w).sum()
    w.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_that_are_not_finite():
    for nonfinite, wanted in (("propagate", [np.nan, -0.5]), ("skip", [0.0, 0.0])):
        w = torch.nn.Parameter(torch.zeros(2))
        optimizer = Adam([w], lr=0.5, nonfinite=nonfinite)
        w.grad = torch.tensor([np.nan, 1.0])
        optimizer.step()
        assert torch.allclose(w.detach(), torch.tensor(wanted), equal_nan=True)
        assert optimizer.state[w]["step"].item() == float(nonfinite == "propagate")
    optimizer.nonfinite = "raise"
    with pytest.raises(FloatingPointError, match="nan at step 0; nothing was changed"):
        optimizer.step()
    assert w.tolist() == [0.0, 0.0]


def test_scaled_gradients_of_autocast_are_unscaled_by_torch():
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = SGD([w], lr=0.5, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale((w * torch.tensor([1.0, 2.0])).sum()).backward()
    scaler.step(optimizer)
    assert w.tolist() == [-0.5, -1.0]


# ---- layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_other_memory_formats_are_stepped_in_place(name):
    found = []
    for module in (torch.optim, lrcore.torch):
        torch.manual_seed(1)
        layer = torch.nn.Conv2d(3, 4, 5, dtype=torch.float64).to(memory_format=torch.channels_last)
        turned = torch.nn.Parameter(torch.randn(6, 5, dtype=torch.float64).t())
        plain = torch.nn.Parameter(torch.randn(5, 6, dtype=torch.float64))
        more = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(module, name)([*layer.parameters(), turned, plain], lr=0.1, **more)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.randn(1, 3, 9, 9, dtype=torch.float64)).square().sum().backward()
            turned.grad = torch.randn(5, 6, dtype=torch.float64)
            plain.grad = torch.randn(6, 5, dtype=torch.float64).t()
            optimizer.step()
        found.append((optimizer, [layer.weight, layer.bias, turned, plain]))
    for a, b in zip(found[0][1], found[1][1]):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)
        assert a.stride() == b.stride()
    check_same_state(found[0][0], found[1][0], 1e-12)


def test_numbers_empty_parameters_and_changes_of_dtype():
    found = []
    for module in (torch.optim, lrcore.torch):
        number = torch.nn.Parameter(torch.tensor(2.0))
        empty = torch.nn.Parameter(torch.zeros(0, 3))
        column = torch.nn.Parameter(torch.ones(3, 1).as_strided((3, 1), (1, 7)))
        params = torch.nn.ParameterList([number, empty, column])
        optimizer = module.Adam(params, lr=0.1)
        for t in range(4):
            if t == 2 and module is lrcore.torch:
                params.double()  # torch refuses states of another dtype
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
        found.append([number, column, optimizer.state[number]["exp_avg"]])
    for a, b in zip(*found):
        assert b.dtype == torch.float64
        assert torch.allclose(a.double(), b, rtol=0, atol=1e-6)


def test_gradients_may_be_negated_views_of_another_dtype_or_have_gradients():
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = SGD([w], lr=0.5)
    w.grad = torch._neg_view(torch.tensor([1.0, 2.0]))
    optimizer.step()
    assert w.tolist() == [0.5, 1.0]
    w.grad = torch.ones(2, requires_grad=True)
    optimizer.step()
    assert w.tolist() == [0.0, 0.5]
    w.grad = None
    w.grad_dtype = torch.bfloat16
    w.grad = torch.ones(2, dtype=torch.bfloat16)
    optimizer.step()
    assert w.tolist() == [-0.5, 0.0]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients(name):
    found = []
    for module in (torch.optim, lrcore.torch):
        torch.manual_seed(1)
        table = torch.nn.Embedding(10, 3, sparse=True, dtype=torch.float64)
        optimizer = getattr(module, name)(table.parameters(), lr=0.1)
        for t in range(4):
            optimizer.zero_grad()
            table(torch.tensor([1, 7, 1, t])).square().sum().backward()
            optimizer.step()
        found.append(table)
    assert distance(*found) < 1e-12


# ---- errors -------------------------------------------------------------------------------------


def test_what_cannot_be_stepped_says_what_would_do():
    def refused(error, match, p, **options):
        with pytest.raises(error, match=match):
            Adam([torch.nn.Parameter(p)], **options)

    refused(
        TypeError,
        r"parameter 0 of group 0 is on meta, .* by .cpu\(\)",
        torch.ones(2, device="meta"),
    )
    refused(TypeError, "torch.float16, .* torch.autocast", torch.ones(2).half())
    refused(TypeError, "torch.complex64, .* torch.view_as_complex", torch.ones(2) * 1j)
    refused(TypeError, "torch.sparse_coo; .to_dense", torch.eye(2).to_sparse())
    refused(ValueError, r"strides \(2,\) for the shape .*\.clone\(\)", torch.ones(6)[::2])
    refused(ValueError, r"strides \(0,\)", torch.ones(1).expand(6))
    refused(ValueError, "eps must be", torch.ones(2), eps=0.0)
    refused(ValueError, "capturable=True is for graphs", torch.ones(2), capturable=True)
    refused(ValueError, "differentiable=True is for gradients", torch.ones(2), differentiable=True)
    refused(ValueError, "nonfinite must be", torch.ones(2), nonfinite="no")
    refused(TypeError, "n_threads must be", torch.ones(2), n_threads="2")
    schedule = lrcore.schedules.Cosine(0.1, steps=10)
    refused(TypeError, "schedule.to_torch", torch.ones(2), lr=schedule)
    with pytest.raises(TypeError, match=r"schedule\.to_torch"):
        Lion([torch.ones(2)], lr=schedule)
    with pytest.raises(TypeError, match=r"head\.weight is torch\.float16"):
        SGD([("head.weight", torch.ones(2).half())])


def test_sparse_gradients_of_other_rules_are_refused():
    table = torch.nn.Embedding(10, 3, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    before = table.weight.detach().clone()
    for optimizer in (
        Adam(table.parameters()), SGD(table.parameters(), momentum=0.9),
        Adagrad(table.parameters(), weight_decay=0.1), RMSprop(table.parameters()),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="is sparse, which SGD without momentum and Adagrad"):
            optimizer.step()
    table.weight.grad = torch.eye(10)[:, :3].to_sparse()
    with pytest.raises(TypeError, match="whole rows"):
        Adagrad(table.parameters()).step()
    assert torch.equal(before, table.weight)


def test_a_refused_group_is_not_added():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = Adam([w])
    for more in ({"params": [torch.ones(2).half()]}, {"params": [torch.ones(2)], "eps": -1.0}):
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(more)
    assert len(optimizer.param_groups) == 1
    w.grad = torch.ones(2)
    optimizer.step()


def test_states_of_other_shapes_are_refused():
    w, other = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))
    other.grad, w.grad = torch.ones(1), torch.ones(2)
    optimizer, source = Adam([w]), Adam([other])
    source.step()
    optimizer.load_state_dict(source.state_dict())
    with pytest.raises(
        ValueError, match=r"exp_avg of the state of .* its shape \(2,\), got \(1,\)"
    ):
        optimizer.step()
    assert w.tolist() == [1.0, 1.0]


def test_signatures_are_those_of_torch_and_two_more():
    theirs = inspect.signature(torch.optim.NAdam).parameters
    ours = inspect.signature(NAdam).parameters
    assert list(ours) == [*theirs, "n_threads", "nonfinite"]
    assert inspect.signature(Adadelta).parameters["rho"].default == 0.9
    assert list(inspect.signature(Lion).parameters)[:3] == ["params", "lr", "betas"]
