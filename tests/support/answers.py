"""When and in which order the answers to shares are sent."""

from __future__ import annotations

import asyncio
from typing import Callable

RANDOM_ORDER_SECONDS = 0.05


class AnswerQueue:
    """Sends answers to submits at once, late, shuffled or never."""

    def __init__(self, options, rng):
        self.never = options.never_answer
        self.delay = options.answer_delay_ms / 1000
        self.shuffle = options.answer_order == "random"
        self.rng = rng
        self.timers = set()

    def put(self, send: Callable) -> None:
        if self.never and self.rng.random() < self.never:
            return
        delay = self.delay
        if self.shuffle:
            delay += self.rng.uniform(0, max(self.delay, RANDOM_ORDER_SECONDS))
        if not delay:
            send()
            return
        timer = None

        def due():
            self.timers.discard(timer)
            send()

        timer = asyncio.get_running_loop().call_later(delay, due)
        self.timers.add(timer)

    def close(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
