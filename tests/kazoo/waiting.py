"""Waiting for what other threads do, with a bound and without sleeping."""

import queue
import threading

SECONDS = 20


class Events:
    """A watch callback that keeps what it was called with."""

    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, *arguments):
        self.queue.put(arguments[0] if len(arguments) == 1 else arguments)

    def next(self, seconds=SECONDS):
        return self.queue.get(timeout=seconds)

    def until(self, wanted, seconds=SECONDS):
        """Takes what comes until `wanted` says yes to it."""
        while True:
            seen = self.next(seconds)
            if wanted(seen):
                return seen

    def empty(self):
        return self.queue.empty()


class Task:
    """A function in a thread, whose result (or exception) is asked for later."""

    def __init__(self, function, *arguments):
        self.done = queue.Queue()

        def run():
            try:
                self.done.put((True, function(*arguments)))
            except BaseException as error:  # handed over to whoever asks
                self.done.put((False, error))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self, seconds=SECONDS):
        fine, value = self.done.get(timeout=seconds)
        if fine:
            return value
        raise value
