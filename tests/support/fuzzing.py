"""Feeds damaged and hostile inputs to what reads them, in a process that may die or hang without taking the test along.

Inputs follow from a seed: the same seed gives the same inputs, in the same order. Whatever is not an EdgesegError (a
traceback, a crash, a hang, gigabytes) is a finding.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from peak_memory import peak_mib

from edgeseg.errors import EdgesegError

HANG_S = 120.0
"""An input that takes longer hangs, also on a machine that is busy with other things."""

MOST_MIB = 1500
"""What one input may take beyond what the process held before it."""

_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote.

    Attributes:
        name: of the target.
        seeds: makes good inputs, as (suffix, content), which are then damaged.
        feed: reads one; an EdgesegError is a good answer. It is given the file and may write beside it.
    """

    name: str
    seeds: Callable[[], Sequence[tuple[str, bytes]]]
    feed: Callable[[Path], None]


@dataclass(frozen=True)
class Finding:
    """An input that was answered badly: what happened, and the input to try again."""

    target: str
    number: int
    what: str
    suffix: str
    content: bytes


def inputs(name: str, seeds: Sequence[tuple[str, bytes]], seed: int) -> Iterator[tuple[str, bytes]]:
    """The seeds themselves, then damaged ones without end."""
    yield from seeds
    generator = random.Random(f"{name} {seed}")
    while True:
        suffix, content = generator.choice(seeds)
        others = [other for own, other in seeds if own == suffix]
        yield suffix, damaged(generator, content, generator.choice(others))


def damaged(generator: random.Random, content: bytes, other: bytes) -> bytes:
    """The content after one to five accidents; ``other`` is one to splice it with."""
    data = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 5))):
        if not data:
            break
        # Half of them near the beginning, where headers are.
        place = generator.randrange(min(len(data), generator.choice((64, 512, len(data)))))
        match generator.randrange(9):
            case 0:
                del data[place:]
            case 1:
                data[place] ^= 1 << generator.randrange(8)
            case 2:
                data[place] = generator.randrange(256)
            case 3:
                length = generator.choice((2, 4, 8))
                value = generator.choice(_EXTREMES) & ((1 << 8 * length) - 1)
                data[place : place + length] = value.to_bytes(length, generator.choice(("big", "little")))
            case 4:
                del data[place : place + generator.randrange(1, 64)]
            case 5:
                data[place:place] = generator.randbytes(generator.randrange(1, 64))
            case 6:
                piece = data[place : place + generator.randrange(1, 256)]
                data[place:place] = piece * generator.randrange(1, 8)
            case 7:
                cut = generator.randrange(len(other) + 1)
                data[place:] = other[cut:]
            case 8:
                end = min(place + generator.randrange(1, 64), len(data))
                data[place:end] = bytes(end - place)
    return bytes(data)


def fuzz(target: Target, folder: Path, *, seed: int, count: int | None = None, seconds: float | None = None) -> Outcome:
    """Feed so many inputs, or for so long.

    Args:
        target: what reads.
        folder: an empty one to work in.
        seed: of the inputs.
        count, seconds: one of them ends it.
    """
    findings: list[Finding] = []
    done = 0
    until_s = None if seconds is None else time.monotonic() + seconds
    while (count is None or done < count) and (until_s is None or time.monotonic() < until_s):
        done = _run_until_it_dies(target, folder, seed, done, count, until_s, findings)
    return Outcome(target.name, done, findings)


@dataclass(frozen=True)
class Outcome:
    """How many inputs were tried, and those that were answered badly."""

    target: str
    count: int
    findings: list[Finding]


def _run_until_it_dies(
    target: Target,
    folder: Path,
    seed: int,
    done: int,
    count: int | None,
    until_s: float | None,
    findings: list[Finding],
) -> int:
    """Feed from input number ``done`` on in a new process; the number to go on with."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    worker = multiprocessing.get_context("fork").Process(
        target=_work, args=(target, folder, seed, done, count, theirs), daemon=True
    )
    worker.start()
    theirs.close()
    current = (done, "", b"")
    bad = ""
    try:
        while True:
            if not ours.poll(HANG_S):
                bad = f"hangs for more than {HANG_S:g} s"
                break
            message = ours.recv()
            if isinstance(message, Exception):
                raise message
            if message is None:
                return current[0] + 1 if current[1] else done
            if isinstance(message, str):
                findings.append(Finding(target.name, current[0], message, current[1], current[2]))
                continue
            if until_s is not None and time.monotonic() > until_s:
                return int(message[0])
            current = message
    except EOFError:
        worker.join()
        bad = f"the process ended with {worker.exitcode}"
    finally:
        worker.kill()
        worker.join()
        ours.close()
    report = folder / "crash.txt"
    trace = report.read_text(errors="replace")[-2000:] if report.exists() else ""
    findings.append(Finding(target.name, current[0], f"{bad}\n{trace}", current[1], current[2]))
    return current[0] + 1


def _work(target: Target, folder: Path, seed: int, first: int, count: int | None, parent: Connection) -> None:
    # Dots and dumps of the libraries are nobody's business here.
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    crash = (folder / "crash.txt").open("w")
    faulthandler.enable(crash)
    try:
        seeds = list(target.seeds())
    except BaseException as error:
        parent.send(RuntimeError(f"the seeds of {target.name} cannot be made: {error!r}"))
        os._exit(1)
    for number, (suffix, content) in enumerate(inputs(target.name, seeds, seed)):
        if count is not None and number >= count:
            break
        if number < first:
            continue
        file = folder / f"input{suffix}"
        file.write_bytes(content)
        parent.send((number, suffix, content))
        before_mib = peak_mib()
        try:
            target.feed(file)
        except EdgesegError as error:
            if "\n" in str(error) or "Traceback" in str(error):
                parent.send(f"more than a line: {error}")
        except BaseException:
            parent.send(traceback.format_exc())
        if peak_mib() - before_mib > MOST_MIB:
            parent.send(f"took {peak_mib() - before_mib} MiB")
    parent.send(None)
    parent.close()
    os._exit(0)


def report(outcomes: Sequence[Outcome], keep: Path) -> int:
    """Print what was tried and found, keep the inputs that were answered badly, and count those."""
    for outcome in outcomes:
        print(f"{outcome.target}: {outcome.count} inputs, {len(outcome.findings)} findings", flush=True)
        for finding in outcome.findings:
            keep.mkdir(parents=True, exist_ok=True)
            file = keep / f"{finding.target}-{finding.number}{finding.suffix}"
            file.write_bytes(finding.content)
            print(f"--- {file}\n{finding.what}", file=sys.stderr, flush=True)
    return sum(len(outcome.findings) for outcome in outcomes)
