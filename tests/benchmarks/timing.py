"""Medians of times taken in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def seconds(function: Callable[[], Any], device: torch.device) -> float:
    """Wall time of one call, with the GPU's work done."""
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def medians(
    functions: Mapping[str, Callable[[], Any]], device: torch.device, repetitions: int = 15
) -> dict[str, float]:
    """Median seconds of each function; the functions take turns, after two calls that do not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repetitions + 2):
        for name, function in functions.items():
            elapsed = seconds(function, device)
            if turn >= 2:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def machine(device: torch.device) -> str:
    """The device and the threads in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"
