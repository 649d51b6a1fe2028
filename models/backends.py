"""Backends: run a network's served form on raw pixels; OpenVINO in the worker, torch to compare."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from errors import UsageError
from models.card import Card

#: Outputs of a served network by name: logits of each head, `domain` and `embedding`, and
#: `fashion_similarity` where the version has one.
Outputs = dict[str, NDArray[np.float32]]


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry.

    `openvino_telemetry` reports each import to a server on the internet and leaves an identifier
    in the home folder. OpenVINO has a stand-in for where it is not installed, which it is to us.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # makes it absent
    return importlib.import_module("openvino")


class Backend(Protocol):
    """Maps uint8 pixels (N, H, W, 3) to logits (N, labels) a head and `embedding` (N, 256)."""

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Run the network on a batch."""


class OpenVinoBackend:
    """The compiled network on the CPU, in fp32 arithmetic unless bf16 is asked for.

    It gets bf16 where the processor has it (AVX-512 BF16, AMX), for which it is twice as fast.
    """

    def __init__(self, folder: Path, threads: int = 1, precision: str = "f32") -> None:
        openvino = import_openvino()
        path = folder / "model.xml"
        if not path.is_file():
            raise UsageError(f"{path}: no exported network; run `hangtag train` again")
        core = openvino.Core()
        can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in can:
            precision = "f32"
        self.precision = precision
        self._compiled = core.compile_model(
            core.read_model(path),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = self._compiled.create_infer_request()
        self._names = [output.get_any_name() for output in self._compiled.outputs]

    @classmethod
    def of(cls, card: Card, threads: int = 1) -> OpenVinoBackend:
        """Compile a version's network as its temperatures and thresholds were fitted."""
        return cls(card.folder, threads, card.precision)

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Run the network on a batch."""
        results = self._request.infer([pixels])
        return {name: np.array(results[i]) for i, name in enumerate(self._names)}


class TorchBackend:
    """The same weights in torch (the `train` extra), for training, GPUs and comparison."""

    def __init__(self, folder: Path) -> None:
        import torch

        from models.network import load_network

        self._torch = torch
        self._network = load_network(folder)

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Run the network on a batch."""
        with self._torch.inference_mode():
            values = self._network(self._torch.from_numpy(pixels))
        return {n: v.numpy() for n, v in zip(self._network.names, values, strict=True)}
