"""A model server as photo services have it: one HTTP request a picture. Started by `peers`.

`uvicorn benchmarks.model_server:app`; it decodes in full and predicts with OpenVINO, one picture a
request, in as many threads as the other contestants have processes.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI, Request

from benchmarks.first_worker import Tags, answer, decode_in_full, load_predictor
from models.predictor import Predictor

#: How many requests are worked on at a time.
THREADS = "BENCH_SERVER_THREADS"

_local = threading.local()


@asynccontextmanager
async def limit_threads(_app: FastAPI) -> AsyncIterator[None]:
    """Have as many threads as were asked for."""
    to_thread.current_default_thread_limiter().total_tokens = int(os.environ[THREADS])
    yield


app = FastAPI(lifespan=limit_threads)


def _predictor() -> Predictor:
    """Return this thread's predictor; one is not for sharing."""
    if not hasattr(_local, "predictor"):
        _local.predictor = load_predictor("openvino")
    predictor: Predictor = _local.predictor
    return predictor


def _predict(data: bytes) -> dict[str, Tags | str]:
    predictor = _predictor()
    card = predictor.card
    [found] = predictor.predict([decode_in_full(io.BytesIO(data), card.height, card.width)])
    tags, embedding = answer(found)
    return {"tags": tags, "embedding": embedding}


@app.post("/predict")
async def predict(request: Request) -> dict[str, Tags | str]:
    """Tag the picture in the body."""
    data = await request.body()
    return await to_thread.run_sync(_predict, data)
