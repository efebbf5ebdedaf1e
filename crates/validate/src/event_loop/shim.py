"""Runs somebody's ASGI application under uvicorn and notes how long its event loop is held.

Nothing of the application is changed. What is measured goes to the *tape*, a file that the
validator reads from outside, so that a loop that stands still is seen all the same. Layout: see
`tape.rs`. Only the standard library and uvicorn are used.
"""

import asyncio
import gc
import json
import mmap
import os
import socket
import struct
import sys
import sysconfig
import threading
import time

import uvicorn

THREAD, RUNNING, CALLS, BEATS, INSIDE = 8, 16, 24, 32, 40
CALL_RING, CALL_SIZE, CALL_SLOTS = 64, 48, 1024
BEAT_RING, BEAT_SIZE, BEAT_SLOTS = CALL_RING + CALL_SIZE * CALL_SLOTS, 16, 4096

now, cpu, cpu_of_all = time.monotonic_ns, time.thread_time_ns, time.process_time_ns


class Tape:
    def __init__(self, path):
        with open(path, "r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), 0)
        self.calls = self.beats = 0

    def put(self, at, value):
        struct.pack_into("Q", self.bytes, at, value)

    def get(self, at):
        return struct.unpack_from("Q", self.bytes, at)[0]

    def call(self, *fields):
        at = CALL_RING + CALL_SIZE * (self.calls % CALL_SLOTS)
        struct.pack_into("QQQQQQ", self.bytes, at, *fields)
        self.calls += 1
        self.put(CALLS, self.calls)

    def beat(self, *fields):
        at = BEAT_RING + BEAT_SIZE * (self.beats % BEAT_SLOTS)
        struct.pack_into("QQ", self.bytes, at, *fields)
        self.beats += 1
        self.put(BEATS, self.beats)


class Watch:
    """Times what runs on the loop's thread; made on that thread."""

    def __init__(self, tape, settings):
        self.tape = tape
        self.beat_ns = settings["beat_ns"]
        self.long_ns = settings["long_ns"]
        self.stacks = settings["stacks"]
        self.thread = threading.get_ident()
        native = threading.get_native_id()
        try:
            self.schedstat = os.open(f"/proc/self/task/{native}/schedstat", os.O_RDONLY)
        except OSError:
            self.schedstat = None
        self.gc_ns = self.gc_began = self.gc_runs = 0
        self.inside = False
        gc.callbacks.append(self.collect)
        tape.put(THREAD, native)

    def waited(self):
        """Nanoseconds that this thread was ready to run and had no processor."""
        if self.schedstat is None:
            return 0
        return int(os.pread(self.schedstat, 64, 0).split()[1])

    def collect(self, phase, _):
        if threading.get_ident() == self.thread:
            if phase == "start":
                self.gc_began = now()
            else:
                self.gc_ns += now() - self.gc_began
                self.gc_runs += 1

    def clocks(self):
        return cpu(), cpu_of_all(), self.waited(), self.gc_ns, self.gc_runs

    def call(self, began, ended, before):
        """Notes a long stay in the loop. Who makes the collector run again and again makes the
        garbage, too; who meets it once or twice has met somebody else's."""
        used, used_by_all, wait, collected, runs = (a - b for a, b in zip(self.clocks(), before))
        collected = collected if runs <= 2 else 0
        self.tape.call(began, ended, used, used_by_all, wait, collected)

    def callbacks(self):
        """asyncio: every callback by itself."""
        run, mine, ident = asyncio.events.Handle._run, self.thread, threading.get_ident

        def timed(handle):
            if ident() != mine:
                return run(handle)
            before, began = self.clocks(), now()
            self.tape.put(RUNNING, began)
            try:
                return run(handle)
            finally:
                ended = now()
                self.tape.put(RUNNING, 0)
                if ended - began >= self.long_ns:
                    self.call(began, ended, before)

        asyncio.events.Handle._run = timed

    def heart(self, loop, alone):
        """A beat at a steady rate. Alone: where callbacks cannot be timed, its delays stand for
        them."""
        due, before = now() + self.beat_ns, self.clocks()

        def beat():
            nonlocal due, before
            at = now()
            late = max(0, at - due)
            self.tape.beat(late, min(late, self.waited() - before[2]))
            if alone and late >= self.long_ns:
                self.call(due, at, before)
            if self.tape.get(INSIDE) and not self.inside:
                self.inside = True
                threading.Thread(target=self.look, daemon=True).start()
            due, before = now() + self.beat_ns, self.clocks()
            if alone:
                self.tape.put(RUNNING, due)
            loop.call_later(self.beat_ns / 1e9, beat)

        loop.call_soon(beat)

    def look(self):
        """Samples the loop's stack from a thread: for where nobody may look in from outside."""
        with open(self.stacks, "w", buffering=1) as out:
            while True:
                time.sleep(0.001)
                began = self.tape.get(RUNNING)
                if not began or now() - began < self.long_ns // 2:
                    continue
                frame = sys._current_frames().get(self.thread)
                frames = []
                while frame is not None:
                    code = frame.f_code
                    frames.append([code.co_filename, frame.f_lineno, code.co_name])
                    frame = frame.f_back
                out.write(json.dumps({"at": now(), "frames": frames}) + "\n")


class Server(uvicorn.Server):
    def __init__(self, config, settings, listener):
        super().__init__(config)
        self.settings, self.listener = settings, listener

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        if self.should_exit:
            return
        loop = asyncio.get_running_loop()
        watch = Watch(Tape(self.settings["tape"]), self.settings)
        plain = isinstance(loop, asyncio.BaseEventLoop)
        if plain:
            watch.callbacks()
        watch.heart(loop, alone=not plain)
        paths = sysconfig.get_paths()
        ready = {
            "port": self.listener.getsockname()[1],
            "loop": type(loop).__module__.partition(".")[0],
            "python": sys.version.split()[0],
            "uvicorn": uvicorn.__version__,
            "run_queue": watch.schedstat is not None,
            "foreign": [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")],
            "own": own_folder(self.settings["app"]),
            "openapi": openapi(self.config.loaded_app),
        }
        temporary = self.settings["ready"] + ".part"
        with open(temporary, "w") as out:
            json.dump(ready, out, default=str)
        os.replace(temporary, self.settings["ready"])


def own_folder(app):
    """Where the application's own files lie."""
    module = sys.modules.get(app.partition(":")[0].partition(".")[0])
    file = getattr(module, "__file__", None)
    if file:
        return os.path.dirname(os.path.abspath(file))
    return next(iter(getattr(module, "__path__", [])), None)


def openapi(app):
    """The description that FastAPI and its kin make of themselves; None for other applications."""
    while not hasattr(app, "openapi") and hasattr(app, "app"):
        app = app.app
    describe = getattr(app, "openapi", None)
    return describe() if callable(describe) else None


def main():
    settings = json.loads(sys.argv[1])
    sys.path[0] = settings["app_dir"]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        settings["app"],
        loop=settings["loop"],
        factory=settings["factory"],
        log_level="warning",
        access_log=False,
    )
    Server(config, settings, listener).run(sockets=[listener])


main()
