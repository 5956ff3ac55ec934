"""The web application answering on loopback, in a thread, as `digest serve` runs it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from digest.commands.serve import configured


@contextmanager
def answering(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of the application, which ends with the block. It follows no redirect and takes no proxy."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(configured(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        give_up = time.monotonic() + 20
        while not server.started and time.monotonic() < give_up:
            time.sleep(0.005)
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            yield client
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
