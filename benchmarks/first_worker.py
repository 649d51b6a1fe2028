"""The worker that people write first: a Celery task a picture. Started by `benchmarks.peers`.

Each picture is decoded in full, predicted alone, and written with a commit of its own. What takes
skill is left out, what is merely settings is in its favour: one thread a process (torch's default
would have the processes fight for the cores), one connection kept open, a table without anything
but the results. Tags and vectors are ours, so all contestants do the same work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import psycopg2
from celery import Celery
from celery.signals import worker_process_init
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.backends import Outputs, TorchBackend
from models.card import Card, version_folder
from models.predictor import Prediction, Predictor
from models.transforms import Pixels

#: `torch`, `onnx` or `http`; the address of the model server; the ONNX file.
KIND, SERVER, ONNX = "BENCH_KIND", "BENCH_SERVER", "BENCH_ONNX"

app = Celery("first", broker=os.environ.get("HANGTAG_BROKER_URL"))
app.conf.update(
    task_ignore_result=True,
    worker_proc_alive_timeout=120,  # Celery's 4 s are few for loading torch on a busy machine
)

Tags = dict[str, object]
#: From a file to its tags and its vector's text.
_tag: Callable[[Path], tuple[Tags, str]]
_connection: psycopg2.extensions.connection


@worker_process_init.connect
def start_process(**_: object) -> None:
    """Load the model, and connect."""
    global _tag, _connection
    kind = os.environ[KIND]
    _tag = ask_server(os.environ[SERVER]) if kind == "http" else predict_here(kind)
    _connection = psycopg2.connect(os.environ["HANGTAG_DATABASE_URL"])


@app.task(name="first.tag")
def tag(number: int, path: str) -> None:
    """Tag one picture, and write it."""
    tags, vector = _tag(Path(path))
    with _connection, _connection.cursor() as cursor:
        cursor.execute(
            "UPDATE first.photos SET tags = %s, embedding = CAST(%s AS halfvec), done = true "
            "WHERE id = %s",
            (json.dumps(tags), vector, number),
        )


def predict_here(kind: str) -> Callable[[Path], tuple[Tags, str]]:
    """Return what decodes and predicts in this process."""
    predictor = load_predictor(kind)
    card = predictor.card

    def predict(path: Path) -> tuple[Tags, str]:
        [found] = predictor.predict([decode_in_full(path, card.height, card.width)])
        return answer(found)

    return predict


def ask_server(address: str) -> Callable[[Path], tuple[Tags, str]]:
    """Return what sends a file to the model server; the connection is kept."""
    import httpx

    client = httpx.Client(timeout=60)

    def ask(path: Path) -> tuple[Tags, str]:
        found = client.post(address, content=path.read_bytes()).raise_for_status().json()
        return found["tags"], found["embedding"]

    return ask


def load_predictor(kind: str) -> Predictor:
    """Load the default version into torch (eager), ONNX Runtime or OpenVINO; one thread."""
    folder = version_folder(None)
    if kind == "torch":
        import torch

        torch.set_num_threads(1)
        return Predictor(Card.load(folder), TorchBackend(folder))
    if kind == "onnx":
        return Predictor(Card.load(folder), OnnxBackend(Path(os.environ[ONNX])))
    return Predictor.load_folder(folder, threads=1)


class OnnxBackend:
    """The network in ONNX Runtime, on one thread."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def infer(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Run the network on a batch."""
        return dict(zip(self._names, self._session.run(None, {"pixels": pixels}), strict=True))


def decode_in_full(file: Path | BytesIO, height: int, width: int) -> Pixels:
    """Decode every pixel, then resize, as the usual transforms do."""
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))


def answer(found: Prediction) -> tuple[Tags, str]:
    """Return a prediction's tags and its vector's text."""
    vector = "[" + ",".join(f"{value:.6g}" for value in found.embedding.tolist()) + "]"
    return {a: list(tag) for a, tag in found.tags.items()}, vector
