"""A TCP port on the loopback before a server's Unix socket, which can hold or cut what flows."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path


class Proxy:
    """Forwards bytes both ways. Held, it is a network that swallows packets without a word."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._flow = threading.Event()
        self._flow.set()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._forgotten: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Forward nothing more; connections stay open, new ones are taken."""
        self._flow.clear()

    def release(self) -> None:
        """Forward again, first what came meanwhile."""
        self._flow.set()

    def forget(self) -> None:
        """Swallow whatever the connections of this moment carry, as a router that forgot them."""
        with self._lock:
            self._forgotten |= self._pairs

    def cut(self) -> None:
        """Reset all connections that are open."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    # Lingering for no time makes close send a reset.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        self._listener.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._target))
            except OSError:
                near.close()
                far.close()
                continue
            with self._lock:
                self._pairs.add((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(source, sink, (near, far)), daemon=True
                ).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flow.wait()
                if pair not in self._forgotten:
                    sink.sendall(data)
        with self._lock:
            self._pairs.discard(pair)
            self._forgotten.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
