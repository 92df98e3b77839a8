"""Checks that a segmenter keeps the contract: for plugin authors' tests and for our own.

Owns the contract's points as checks, each of which says what to change. It neither loads plugins
(`registry.py`) nor judges how good a segmenter is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchbird.contract import OptionValue, SegmenterSpec
from benchbird.contract_points import Point
from benchbird.seeding import derive_seed, seed_everything
from benchbird.stated_cost import cost_failures
from benchbird.torch_state import flags_kept, random_state_kept

MATE_TOLERANCE = 1e-3
"""How far a sample's logits may move with its batch-mates, relative to the largest logit: float32 sums in
another order move them by 1e-6, statistics over the batch by 1e-2 and more."""

SIGN_STEPS = 60
"""Adam steps, at `SIGN_LR`, in which a network must manage to put out a value of the missing sign: enough
to undo a last bias of ±5, such as one that states a prior of 1 %."""

SIGN_LR = 0.1

Batch = tuple[torch.Tensor, torch.Tensor]


class ContractFailure(AssertionError):
    """A segmenter breaks the contract.

    Attributes:
        failures: one sentence for each broken point.
    """

    def __init__(self, name: str, failures: Iterable[str]) -> None:
        self.failures = tuple(failures)
        super().__init__(
            "\n".join([f"segmenter {name} breaks the contract:", *(f"- {line}" for line in self.failures)])
        )


def check_segmenter(
    spec: SegmenterSpec, *, options: Mapping[str, OptionValue] | None = None, image_size: int = 64
) -> None:
    """Check one segmenter against the whole contract, on the CPU.

    Args:
        spec: what the plugin's hook returns.
        options: those that differ from the defaults.
        image_size: side of the square test images in pixels, rounded up to the spec's `size_multiple`.

    Raises:
        ContractFailure: lists every broken point, each with what to change.
    """
    if failures := contract_failures(spec, options=options, image_size=image_size):
        raise ContractFailure(spec.name, failures)


def contract_failures(
    spec: SegmenterSpec, *, options: Mapping[str, OptionValue] | None = None, image_size: int = 64
) -> list[str]:
    """List every point of the contract that a segmenter breaks; see `check_segmenter`."""
    return [one for point in contract_points(spec, options=options, image_size=image_size) for one in point.failures]


def contract_points(
    spec: SegmenterSpec, *, options: Mapping[str, OptionValue] | None = None, image_size: int = 64
) -> Iterator[Point]:
    """Check one segmenter point by point; those that can't be looked at, since one before is broken, are left out.

    Seeds and global flags are the caller's again after the last one. Arguments are those of `check_segmenter`.
    """
    given = dict(options or {})
    accepted = Point("options", tuple(_option_failures(spec, given)))
    yield accepted
    if accepted.failures:
        return  # a model built from wrong options says nothing
    size = -(-image_size // spec.size_multiple) * spec.size_multiple
    with random_state_kept(), flags_kept() as flag_failures:
        case, failures = _build(spec, spec.complete_options(given), size)
        yield Point("build", tuple(failures))
        if case is not None:
            yield from _model_points(case)
        yield Point("cost", tuple(cost_failures(spec)))
    yield Point("globals", tuple(flag_failures))


def _model_points(case: _Case) -> Iterator[Point]:
    usable = Point("logits", tuple(_run(_output_failures, case)))
    yield usable
    if usable.failures:
        return
    yield Point("sizes", tuple(_run(_size_failures, case)))
    yield Point("eval", tuple(_run(_eval_failures, case)))
    if case.spec.calibrate is None:
        yield Point("training", tuple(_run(_train_failures, case)))
    else:
        yield Point("calibration", tuple(_run(_calibration_failures, case)))


@dataclass(frozen=True)
class _Case:
    """A segmenter under test; `model` and `other` are built under different seeds.

    Both stay as built, in eval mode, until `_train_failures` or `_calibration_failures`.
    """

    spec: SegmenterSpec
    size: int
    model: nn.Module
    other: nn.Module

    def batch(self, name: str, n: int, *, bird_level: int = 200) -> Batch:
        """Grey images as the protocol prepares them, with squares of bird brighter than `bird_level`.

        Returns:
            Images float32 `(N, 3, size, size)` in [-1, 1], targets float32 `(N, 1, size, size)` in {0, 1}.
        """
        generator = torch.Generator().manual_seed(derive_seed("testing", name))
        level = torch.randint(0, bird_level, (n, 1, self.size, self.size), generator=generator)
        target = torch.zeros(n, 1, self.size, self.size)
        quarter = self.size // 4
        for index in range(n):
            top, left = torch.randint(0, self.size - quarter, (2,), generator=generator).tolist()
            square = (index, 0, slice(top, top + quarter), slice(left, left + quarter))
            level[square] = level[square] * (255 - bird_level) // bird_level + bird_level + 1
            target[square] = 1
        images = (level.float() / 255 - 0.5) / 0.5
        return images.expand(n, 3, self.size, self.size).contiguous(), target


def _run(check: Callable[[_Case], Iterator[str]], case: _Case) -> list[str]:
    """Collect a check's failures; an exception of the plugin's own ends the check and is one of them."""
    failures: list[str] = []
    try:
        failures.extend(check(case))
    except Exception as error:
        doing = check.__name__.removesuffix("_failures").strip("_")
        failures.append(f"{doing} raised {type(error).__name__}: {error}")
    return failures


def _option_failures(spec: SegmenterSpec, given: Mapping[str, OptionValue]) -> Iterator[str]:
    for name, value in given.items():
        if name not in spec.options:
            known = ", ".join(spec.options) or "none"
            yield f"option {name} is not among the spec's options ({known})"
        elif (fault := spec.options[name].fault(value)) is not None:
            yield f"option {name}: {fault}"
    if spec.check_options is None:
        return
    for what, options in {"its default options": {}, "these options": given}.items():
        try:
            sentence = spec.check_options(spec.complete_options(options))
        except Exception as error:
            yield f"check_options raised {type(error).__name__} for {what}: {error}; return a sentence"
            return
        if sentence is not None:
            yield f"check_options refuses {what}: {sentence}"
            return


def _build(spec: SegmenterSpec, options: Mapping[str, OptionValue], size: int) -> tuple[_Case | None, list[str]]:
    """Build the model three times; gives None in place of the case where nothing usable comes out."""
    built: list[nn.Module] = []
    random_states: list[torch.Tensor] = []
    for seed in (1, 1, 2):
        seed_everything(derive_seed("testing", "build", seed))
        try:
            model = spec.build(**options)
        except Exception as error:
            return None, [f"build(**options) raised {type(error).__name__}: {error}"]
        if not isinstance(model, nn.Module):
            return None, [f"build returned {type(model).__name__}; it must return a torch.nn.Module"]
        built.append(model.eval())
        random_states.append(torch.get_rng_state())
    first, again, other = built
    not_tensors = [name for name, value in first.state_dict().items() if not isinstance(value, torch.Tensor)]
    if not_tensors:
        return None, [f"state_dict() holds {', '.join(not_tensors)}; weights are stored as tensors only"]
    elsewhere = {str(value.device) for model in built for value in model.state_dict().values()} - {"cpu"}
    if elsewhere:
        return None, [f"build puts weights on {', '.join(elsewhere)}; build on the CPU, the trial moves the model"]
    failures = []
    if not _equal_states(_state(first), _state(again)):
        failures.append(
            "two builds under the same seed have different weights; "
            "draw random numbers from torch's global generator only, without seeding it"
        )
    if torch.equal(random_states[0], random_states[2]):
        failures.append("build seeds torch's global generator itself; leave that to the trial's seed")
    for name, tensor in first.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            failures.append(f"{name} is {tensor.dtype}; parameters and buffers must be float32")
    return _Case(spec, size, first, other), failures


def _output_failures(case: _Case) -> Iterator[str]:
    images, _ = case.batch("eval", 3)
    with torch.no_grad():
        if (fault := _output_fault(case.model(images.clone()), images)) is not None:
            yield fault


def _size_failures(case: _Case) -> Iterator[str]:
    """Images that aren't square, and of the least size that is promised beyond the test images'."""
    step = case.spec.size_multiple
    for height, width in ((case.size, case.size + step), (case.size + step, case.size)):
        images = torch.linspace(-1, 1, height * width).view(1, 1, height, width).expand(2, 3, -1, -1).contiguous()
        try:
            with torch.no_grad():
                fault = _output_fault(case.model(images), images)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault is not None:
            yield (
                f"images of {height}×{width} fail ({fault}); expected any multiple of size_multiple = {step}: "
                "follow the input's size, or state a larger multiple"
            )
            return


def _eval_failures(case: _Case) -> Iterator[str]:
    images, _ = case.batch("eval", 3)
    given, state = images.clone(), _state(case.model)
    with torch.no_grad():
        logits = case.model(given).clone()
        if not torch.equal(given, images):
            yield "forward changed its input in place; work on a copy (mind inplace=True in the first layer)"
        repeats = torch.equal(logits, case.model(images.clone()))
        if not _equal_states(state, _state(case.model)):
            yield "forward in eval() changed the state_dict; update statistics only when self.training"
        if not repeats:
            yield "two passes over the same images in eval() differ; be random only when self.training"
            return  # whatever is compared next would differ too
        yield from _mate_failures(case, images, logits)
    yield from _storage_failures(case)


def _mate_failures(case: _Case, images: torch.Tensor, logits: torch.Tensor) -> Iterator[str]:
    """Compare the first image's logits with those it gets alone and among brighter images."""
    allowed = MATE_TOLERANCE * float(logits.abs().max())
    bright = torch.cat([images[:1], images[1:] * 0.1 + 0.9])
    for how, batch in {"it is passed alone": images[:1].clone(), "its batch-mates change": bright}.items():
        moved = float((case.model(batch)[:1] - logits[:1]).abs().max())
        if not moved <= allowed:
            yield (
                f"in eval() an image's logits move by {moved:.3g} when {how}; "
                "use no statistics over the batch in eval()"
            )
            return


def _output_fault(logits: object, images: torch.Tensor) -> str | None:
    """What is wrong with a model's output for `images`, or None."""
    if not isinstance(logits, torch.Tensor):
        keys = f" with the keys {', '.join(map(str, logits))}" if isinstance(logits, dict) else ""
        return f"the model returned {type(logits).__name__}{keys}; it must return the logits' tensor alone"
    expected = (images.shape[0], 1, *images.shape[2:])
    if tuple(logits.shape) != expected:
        return f"logits have shape {tuple(logits.shape)} for images {tuple(images.shape)}; expected {expected}"
    if logits.dtype != torch.float32:
        return f"logits are {logits.dtype}; expected torch.float32"
    if not torch.isfinite(logits).all():
        return "logits are not all finite for ordinary images; mind divisions, logarithms and exponentials"
    return None


def _storage_failures(case: _Case) -> Iterator[str]:
    """Weights go through safetensors into a model of another seed, which must then give the same logits."""
    images, _ = case.batch("storage", 2)
    stored = safetensors.torch.load(safetensors.torch.save(_state(case.model)))
    untouched = _state(case.other)
    try:
        case.other.load_state_dict(stored)
    except Exception as error:
        yield f"a fresh model can't load the stored state_dict: {type(error).__name__}: {error}"
        return
    with torch.no_grad():
        if not torch.equal(case.model(images.clone()), case.other(images.clone())):
            yield (
                "a model with the same state_dict gives other logits; keep all that matters in parameters "
                "and persistent buffers"
            )
    case.other.load_state_dict(untouched)


def _train_failures(case: _Case) -> Iterator[str]:
    if case.spec.calibrate is not None:
        return
    trainable = {name: p for name, p in case.model.named_parameters() if p.requires_grad}
    if not trainable:
        yield "no parameter requires a gradient and the spec has no calibrate: nothing could be learnt"
        return
    images, targets = case.batch("train", 2)
    before = images.clone()
    case.model.train()
    logits = case.model(images)
    if (fault := _output_fault(logits, images)) is not None:
        yield f"in training mode: {fault}"
        return
    if not torch.equal(images, before):
        yield "forward in training mode changed its input in place; work on a copy"
    binary_cross_entropy_with_logits(logits, targets).backward()  # type: ignore[no-untyped-call]
    without = [name for name, parameter in trainable.items() if parameter.grad is None]
    if without:
        names = ", ".join(without[:5]) + (" …" if without[5:] else "")
        yield (f"{len(without)} parameters get no gradient ({names}); remove unused layers or set requires_grad=False")
    if any(p.grad is not None and not torch.isfinite(p.grad).all() for p in trainable.values()):
        yield "a training step gives gradients that are not finite"
    case.model.eval()
    yield from _sign_failures(case)


def _calibration_failures(case: _Case) -> Iterator[str]:
    calibrate = case.spec.calibrate
    if calibrate is None:
        return
    probe, _ = case.batch("probe", 2)
    seen: dict[int, torch.Tensor] = {}
    for bird_level in (60, 200, 60):
        batches = [case.batch(f"calibrate {part}", 2, bird_level=bird_level) for part in range(2)]
        calibrate(case.model, batches)
        fresh = [case.batch(f"calibrate {part}", 2, bird_level=bird_level) for part in range(2)]
        if any(
            not (torch.equal(images, fresh_images) and torch.equal(targets, fresh_targets))
            for (images, targets), (fresh_images, fresh_targets) in zip(batches, fresh, strict=True)
        ):
            yield "calibrate changed the training data in place; work on a copy"
        with torch.no_grad():
            logits = case.model(probe.clone())
        if bird_level in seen and not torch.equal(seen[bird_level], logits):
            yield "calibrating twice on the same data gives other logits; calibrate must repeat exactly"
        seen[bird_level] = logits
    if torch.equal(seen[60], seen[200]):
        yield "calibrating on dim and on bright birds gives the same logits; forward must use what was found"
    # Storage again: an uncalibrated model must become this one by its state_dict alone.
    yield from _storage_failures(case)
    yield from _sign_failures(case)


def _sign_failures(case: _Case) -> Iterator[str]:
    """Logits must be able to take both signs: a probability can't be negative.

    An untrained network may give one sign only. It is then trained, for at most `SIGN_STEPS`, towards
    the other; a network that ends in a sigmoid, a softmax or a ReLU can't get there. (tanh passes.)
    """
    images, _ = case.batch("sign", 2)
    with torch.no_grad():
        logits = case.model(images.clone())
    for sign, never in ((-1.0, "negative"), (1.0, "positive")):
        trainable = case.spec.calibrate is None
        if not (logits * sign > 0).any() and not (trainable and _reaches(case, images, sign)):
            yield (
                f"outputs in [{float(logits.min()):.3g}, {float(logits.max()):.3g}], none {never}"
                f"{' even after training towards it' if trainable else ''}: not logits; return raw logits, "
                "without sigmoid, softmax or ReLU at the end"
            )


def _reaches(case: _Case, images: torch.Tensor, sign: float) -> bool:
    """Train a model towards one sign; whether any output gets there."""
    model = case.other.train()
    targets = torch.full_like(images[:, :1], float(sign > 0))  # (N, 1, H, W)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=SIGN_LR)
    for _ in range(SIGN_STEPS):
        optimizer.zero_grad()
        logits = model(images.clone())
        if bool((logits * sign > 0).any()):
            return True
        binary_cross_entropy_with_logits(logits, targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return False


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}


def _equal_states(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
