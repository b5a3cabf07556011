"""What a run takes of a machine; no GPU is needed to decide."""

from __future__ import annotations

import pytest
import torch

from edgeseg._native import available_cores
from edgeseg.train.machine import (
    capability_of,
    is_mixed,
    precision_for,
    settings_of_a_run,
    shared_memory_bytes,
    steps_between_looks,
    workers_for,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        (None, torch.bfloat16),  # a CPU
        ((6, 1), torch.float16),  # GTX 10
        ((7, 0), torch.float16),  # V100
        ((7, 5), torch.float16),  # T4, RTX 20
        ((8, 0), torch.bfloat16),  # A100
        ((8, 7), torch.bfloat16),  # Orin
        ((9, 0), torch.bfloat16),
        ((12, 0), torch.bfloat16),
    ],
)
def test_bfloat16_only_where_it_is_in_the_hardware(capability, dtype):
    assert precision_for(capability) is dtype


@pytest.mark.parametrize(
    ("amp", "device", "able", "rounds", "mixed"),
    [
        ("auto", "cuda", {}, False, True),
        ("auto", "cuda", {}, True, False),
        ("auto", "cpu", {}, False, False),
        ("auto", "cpu", {"avx512_bf16": False, "avx512_f": True}, False, False),
        ("auto", "cpu", {"avx512_bf16": True}, False, True),
        ("auto", "cpu", {"amx_bf16": True}, False, True),
        ("auto", "cpu", {"avx512_bf16": True}, True, False),
        ("on", "cpu", {}, False, True),
        ("off", "cuda", {}, False, False),
    ],
)
def test_mixed_precision_by_itself_where_it_is_in_the_hardware(monkeypatch, amp, device, able, rounds, mixed):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert is_mixed(amp, torch.device(device), rounds=rounds) is mixed


def test_a_cpu_has_no_compute_capability():
    assert capability_of(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("device", "cores", "in_memory", "shared_mib", "workers"),
    [
        ("cuda", 16, True, 1 << 20, 8),  # pictures in memory still are augmented on the CPU
        ("cuda", 16, False, 1 << 20, 8),
        ("cuda", 4, True, 1 << 20, 3),
        ("cuda", 1, True, 1 << 20, 1),
        ("cpu", 16, True, 1 << 20, 0),
        ("cpu", 16, False, 1 << 20, 8),
        ("cpu", 4, False, 1 << 20, 2),
        ("cpu", 1, False, 1 << 20, 1),
        ("cuda", 16, True, 64, 3),  # a container of Docker, if nobody asked for more
        ("cuda", 16, True, 20, 0),
        ("cuda", 16, True, 0, 0),
    ],
)
def test_processes_that_prepare_pictures(device, cores, in_memory, shared_mib, workers):
    found = workers_for(device, cores, in_memory=in_memory, batch_bytes=7 * MIB, shared_bytes=shared_mib * MIB)
    assert found == workers


def test_room_in_the_shared_memory_is_known():
    assert shared_memory_bytes() >= 0


def test_losses_are_looked_at_seldom_on_a_gpu():
    assert steps_between_looks("cpu") == 1
    assert steps_between_looks("cuda") > 1


def test_threads_and_random_numbers_are_as_before_afterwards():
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with settings_of_a_run(threads + 1, torch.device("cpu")):
        assert torch.get_num_threads() == threads + 1
        torch.manual_seed(0)
    with settings_of_a_run(0, torch.device("cpu")):
        assert torch.get_num_threads() == available_cores()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)
