"""Texts of segmenter plugins that do harm, and of honest ones to compare with.

Each is one convolution and the harm is done at a given call of its forward pass, in the plan's probe as well as in the
trial. What must come of a trial is said beside each harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PLUGIN = '''\
"""A segmenter of the fault suite."""
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy
import torch
from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1
IS_CHILD = multiprocessing.parent_process() is not None
HELD = []


def is_trial():
    return "log.txt" in os.readlink("/proc/self/fd/1")


{module}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        is_struck = self.calls == {call}
        {before}
        logits = self.layer(images)
        {after}
        return logits


def build():
    {build}
    return Model()


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="{name}", build=build)]
'''

NAN_BACKWARD = """\
class Exploding(torch.autograd.Function):
    @staticmethod
    def forward(context, logits):
        return logits.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * {factor}


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(context, logits):
        return logits.clone()

    @staticmethod
    def backward(context, gradient):
        raise {error}
"""


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What a plugin does, and what must come of it.

    Attributes:
        name: of the segmenter.
        status: of its record.
        reason: words that the record's reason holds.
        module: code at the top of the plugin.
        build: statement before the model is made.
        before: statement before the convolution.
        after: statement after it; may change `logits`.
        call: which forward pass it strikes in, counted from 1.
    """

    name: str
    status: str = "done"
    reason: str = ""
    module: str = "pass"
    build: str = "pass"
    before: str = "pass"
    after: str = "pass"
    call: int = 1

    def text(self) -> str:
        """The plugin's source."""
        return PLUGIN.format(
            name=self.name, module=self.module, build=self.build, before=self.before, after=self.after, call=self.call
        )


def write_plugins(folder: Path, harms: Sequence[Harm]) -> tuple[str, ...]:
    """One file a harm, in `folder`; the command line's options that name them."""
    options: list[str] = []
    for harm in harms:
        (folder / f"{harm.name}.py").write_text(harm.text())
        options += ("--plugin", f"{harm.name}.py")
    return tuple(options)


_ERRORS = (
    ("RuntimeError('bad luck')", "failed", "RuntimeError: bad luck"),
    ("KeyError('weights')", "failed", "KeyError"),
    ("AssertionError", "failed", "AssertionError: no message"),
    ("type('Own', (Exception,), {'__str__': lambda self: 1 / 0})()", "failed", "Own: no message"),
    ("StopIteration", "failed", "StopIteration"),
)

_EXITS = ("sys.exit()", "sys.exit(0)", "sys.exit(7)", "sys.exit('a message')", "raise SystemExit(-1)")

_CRASHES = (
    ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ("__import__('ctypes').string_at(0)", "SIGSEGV"),
    ("os.abort()", "SIGABRT"),
    ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS"),
    ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
)

_LOOPS = (
    "[None for _ in iter(int, 1)]",
    "time.sleep(1e6)",
    "re.match('(a+)+$', 'a' * 60 + 'b')",  # holds the interpreter's lock
    "(signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(1e6))",
    "(lock := threading.Lock(), lock.acquire(), lock.acquire())",
)

_CHILDREN = (
    "subprocess.Popen(['sleep', '600'])",
    "subprocess.Popen(['sh', '-c', 'sleep 600 & sleep 600'])",
    "os.fork() or (time.sleep(600), os._exit(0))",
    "multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)).start()",
    "subprocess.Popen(['sh', '-c', 'trap \"\" TERM INT HUP; sleep 600'], start_new_session=True)",
)

_PRINTS = (
    "[print('x' * 2**20) for _ in range({megabytes})]",
    "[sys.stderr.write('y' * 2**20) for _ in range({megabytes})]",
    "[os.write(1, b'z' * 2**20) for _ in range({megabytes})]",
    "subprocess.run(['sh', '-c', 'yes | head -c {megabytes}M'])",
    "[sys.stdout.write('\\x1b[2J\\x00' * 2**18) for _ in range({megabytes})]",
)

_FLAGS = (
    ("torch.set_default_dtype(torch.float64)", "default dtype"),
    ("torch.use_deterministic_algorithms(False)", "deterministic algorithms"),
    ("torch.set_flush_denormal(True)", "denormal numbers"),
    ("torch.set_num_threads(torch.get_num_threads() + 1)", "threads"),
    ("torch.manual_seed(7)", "seed"),
)

_OUTPUTS = (
    ("logits[:, :, :8]", "expected logits"),
    ("logits.squeeze(1)", "expected logits"),
    ("logits.to(torch.int64)", "expected float32 logits"),
    ("(logits, logits)", "returned tuple"),
    ("None", "returned NoneType"),
)

IN_PLACE = (
    ("images.add_(1)", "images = images + 1"),
    ("images.zero_()", "images = images * 0"),
    ("images.mul_(-1)", "images = -images"),
    ("images[:, 1:].fill_(0.5)", "images = torch.cat([images[:, :1], torch.full_like(images[:, 1:], 0.5)], 1)"),
    ("images.resize_(images.shape).abs_()", "images = images.abs()"),
)
"""A change of the model's input, and the same without touching it."""

_HUGE = (
    "torch.empty(2**46)",
    "bytearray(2**46)",
    "numpy.zeros(2**46)",
    "[0] * 2**46",
    "torch.zeros(2**22, 2**22)",
)

_LEAKS = (
    "HELD.append(torch.empty(2**28))",
    "HELD.append(__import__('mmap').mmap(-1, 2**30))",
    "HELD.append(numpy.zeros(2**27))",
    "HELD.append(images.new_empty(2**28))",
    "HELD.extend([torch.empty(2**27), torch.empty(2**27)])",
)
"""A gibibyte a forward pass, of addresses rather than of pages: the machine needn't have it."""


def harms_of(number: int, *, megabytes: int) -> Mapping[str, Harm]:
    """Kind of harm → its variant `number`, from 1 to 5; `megabytes` is what the one that prints prints.

    Those that hang do so in the trial alone for odd numbers; else the probe, too, waits for its limit.
    """
    index = number - 1
    error, status, message = _ERRORS[index]
    crash, name = _CRASHES[index]
    flag, flag_words = _FLAGS[index]
    output, output_words = _OUTPUTS[index]
    where = "is_trial() and " if number % 2 else ""
    hang = f"is_struck and {where}(open('hanging', 'w').close(), {_LOOPS[index]})"
    started = f"is_struck and HELD.append({_CHILDREN[index]})"
    refusal = NAN_BACKWARD.format(factor="1.0", error=error)
    return {
        "raises at import": Harm(
            name="raises_at_import", status="failed", reason="failed to load",
            module=f"if IS_CHILD:\n    raise {error}" if number != 4 else "if IS_CHILD:\n    1 / 0"),
        "raises in build": Harm(name="raises_in_build", status=status, reason=message, build=f"raise {error}"),
        "raises in forward": Harm(name="raises_in_forward", status=status, reason=message, call=number,
                                  before=f"if is_struck: raise {error}"),
        "raises in backward": Harm(name="raises_in_backward", status=status, reason=message.partition(":")[0],
                                   module=refusal, after="logits = Raising.apply(logits)"),
        "sys.exit": Harm(name="exits", status="failed", reason="SystemExit", call=number,
                         before=f"if is_struck: {_EXITS[index]}"),
        "os._exit": Harm(name="quits", status="failed", reason="left no record", call=number,
                         before=f"if is_struck: os._exit({index})"),
        "segfault": Harm(name="crashes", status="failed", reason=f"was killed by {name}", call=number,
                         before=f"if is_struck: {crash}"),
        "endless loop": Harm(name="hangs", status="timeout", reason="limits.", call=number, before=hang),
        "leaks a child process": Harm(name="leaks_children", call=number, before=started),
        "prints": Harm(name="prints", call=number,
                       before=f"is_struck and {_PRINTS[index].format(megabytes=megabytes)}"),
        "flips global flags": Harm(name="flips_flags", status="protocol_violation", reason=flag_words, call=number,
                                   before=f"if is_struck: {flag}"),
        "wrong shape or dtype": Harm(name="wrong_output", status="protocol_violation", reason=output_words,
                                     call=number, after=f"logits = {output} if is_struck else logits"),
        "changes its input": Harm(name="changes_input", before=IN_PLACE[index][0]),
        "leaks memory": Harm(name="leaks_memory", status="out_of_memory", before=_LEAKS[index]),
        "runs out of memory": Harm(name="too_large", status="out_of_memory", call=number,
                                   before=f"if is_struck: {_HUGE[index]}"),
    }  # fmt: skip


def honest_twin(number: int) -> Harm:
    """What computes as the segmenter that changes its input does, without changing it."""
    return Harm(name="honest_twin", before=IN_PLACE[number - 1][1])
