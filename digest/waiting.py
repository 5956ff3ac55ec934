"""Calls that may never come back, and nobody has to wait for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


def begun(call: Callable[[], T]) -> "Future[T]":
    """
    A call in a thread of its own.

    What hangs, such as a resolver that nobody answers, is left behind: the process ends without it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        answer.set_running_or_notify_cancel()  # from here on nobody can cancel it, so it may be answered
        try:
            answer.set_result(call())
        except BaseException as fault:  # noqa: BLE001  raised where the answer is waited for
            answer.set_exception(fault)

    Thread(target=run, daemon=True).start()
    return answer


def waited(answer: "Future[T]", until: float) -> T:
    """
    The answer, as soon as it is there.

    Raises:
        TimeoutError: it is not there at that moment of the monotonic clock.
    """
    return answer.result(timeout=max(0.0, until - monotonic()))


class Unjoined(ThreadPoolExecutor):
    """For a loop that looks up names: the usual executor's threads would hold the process up at its end."""

    def submit(self, call: Callable[..., T], /, *given: Any, **named: Any) -> "Future[T]":
        return begun(partial(call, *given, **named))
