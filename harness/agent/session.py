# SPDX-License-Identifier: Apache-2.0
"""A session with the agent: steps in, records out, strictly in order.

One thread writes, one reads and watches the clock; callers wait on a `Pending`.  Steps are
pipelined within a bounded window, and everything that waits in the queue goes out in one write,
written down in the journal first.  Whatever ends the session (protocol violation, lost channel,
a step that never returns) is kept as `failure`, given to the step in flight, and every later step
gets `StepNotReachedError`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from harness.agent.frames import Begin, Fault, Frame, FrameParser, FrameWriter, Log, Record
from harness.agent.greeting import Greeting, reported
from harness.agent.heard import Heard
from harness.agent.pending import LOOK, Channel, Pending, fail_all, forgotten
from harness.agent.said import Said
from harness.errors import AgentError, StepHungError, StepNotReachedError

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.agent.journal import Intent

#: Steps that may be on their way at once: as many as a busy guest answers within the time for which it
#: may keep its answers back (harness.agent.waiting_agent), and no more than its agent's queue holds.
WINDOW = 512
#: Bytes of steps that may be on their way at once: less than a pipe and an SSH window hold, so
#: that the host's write never waits for a guest that does not read.
WINDOW_BYTES = 512 * 1024
#: Seconds for the agent's first frame.
HELLO_TIMEOUT = 30.0
#: Seconds that a record may be late beyond its step's own timeout: the way there and back on a
#: busy host that emulates the guest.
MARGIN = 15.0
#: Seconds for a step that has no timeout of its own.
DEFAULT_STEP_TIMEOUT = 60.0

#: Where kshs_step has its op, which a record must repeat.
_OP = slice(4, 8)
_POLL = 0.25
#: Seconds between two looks of the watchdog beyond which it was itself held up: this process was stopped, by
#: Ctrl-Z say, or its machine was.  What the agent sent meanwhile has not been read yet.
_HELD_UP = 2.0
_WRITE_GRACE = 2.0
_READ_SIZE = 65536


class AgentSession:
    """Speaks to one agent over one channel; use it as a context manager.

    Args:
        channel: to a running `kshsctl serve`.
        abi: the host's own, to which the agent's must be equal.
        journal: called with the steps of each batch before it is written; must be durable when it returns.
        seen: called with the last sequence numbers of which a begin and a record came, when they change.
        on_log: gets each line that the agent logs.

    Raises:
        AbiMismatchError: the agent was built from another ABI header; says which structure differs.
        AgentLostError, AgentError: no or no proper HELLO.
    """

    def __init__(
        self,
        channel: Channel,
        abi: Abi,
        *,
        journal: Callable[[Sequence[Intent]], None] | None = None,
        seen: Callable[[int, int], None] | None = None,
        on_log: Callable[[str], None] | None = None,
        hello_timeout: float = HELLO_TIMEOUT,
        margin: float = MARGIN,
        window: int = WINDOW,
    ) -> None:
        self._channel = channel
        self._abi = abi
        self._carried_out = {abi.constants[f"KSHS_OUTCOME_{name}"] for name in ("DONE", "STARTED")}
        self._journal = journal
        self.heard = Heard(seen)
        self._said = Said(channel, on_log)
        self.log = self._said.log
        self._margin = margin
        self._window = window
        self._parser = FrameParser(abi)
        self._writer = FrameWriter(abi)
        self._lock = threading.Condition()
        self._queue: deque[tuple[Pending, bytes]] = deque()
        self._open: deque[Pending] = deque()
        self._open_bytes = 0
        self._seq = 0
        self._gathering = False
        self._closing = False
        self._failure: Exception | None = None
        self._in_flight: Pending | None = None
        self._unwritable_since: float | None = None
        greeting = Greeting(channel, self._parser, abi, note=self._said.note, lost=self._said.lost)
        self.hello, self._early = greeting.exchange(self._writer.hello(), hello_timeout)
        self._threads = [
            threading.Thread(target=self._read_loop, name="kshs-agent-reader", daemon=True),
            threading.Thread(target=self._write_loop, name="kshs-agent-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ---- what callers use -------------------------------------------------

    @property
    def handshake_size(self) -> int:
        """sizeof(KSHANDSHAKE) in the guest: 24 or 32 (rule H2)."""
        return self.hello.handshake_size

    @property
    def failure(self) -> Exception | None:
        """What ended the session, if anything did."""
        with self._lock:
            return self._failure

    @property
    def in_flight(self) -> Pending | None:
        """The oldest step without a record; after a failure, the step that it struck."""
        with self._lock:
            return self._in_flight or (self._open[0] if self._open else None)

    def submit(
        self, step: bytes, *, what: str = "step", timeout: float | None = None, place: int | None = None
    ) -> Pending:
        """Queues one `kshs_step` with its data; waits only while the window is full.

        Args:
            step: the structure and the data behind it.
            what: names the step in the journal and in messages.
            timeout: seconds that the step itself may take in the guest.
            place: of the step in its scenario, for the journal.
        """
        allowed = DEFAULT_STEP_TIMEOUT if timeout is None else timeout
        with self._lock:
            while self._failure is None and not self._fits(len(step)):
                if self._gathering:
                    self._gathering = False  # only what goes out makes room
                    self._lock.notify_all()
                # Whoever waits for the oldest one looks after it; here nobody may be waiting yet.
                if not self._lock.wait(LOOK) and self._open[0].is_forgotten(self._watched):
                    self._forget(self._open[0])
            self._seq += 1
            op = int.from_bytes(step[_OP], "little")
            pending = Pending(self._seq, what, allowed, len(step), op, watched=self._watched, place=place)
            if self._failure is not None or self._closing:
                pending.fail(StepNotReachedError("the session is over", where=what))
                return pending
            if not self._open:
                pending.head_at = time.monotonic()
            self._open.append(pending)
            self._open_bytes += pending.size
            self._queue.append((pending, step))
            self._lock.notify_all()
        return pending

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is submitted within goes out in one write where the window holds it: one wait for the disk."""
        with self._lock:
            self._gathering = True
        try:
            yield
        finally:
            with self._lock:
                self._gathering = False
                self._lock.notify_all()

    def run(self, step: bytes, *, what: str = "step", timeout: float | None = None) -> Record:
        """Submits one step and waits for its record; raises what `Pending.result` raises."""
        return self.submit(step, what=what, timeout=timeout).result()

    def evidence(self) -> str:
        """What the agent's process left for people: log lines, stderr, exit code."""
        return self._said.evidence()

    def close(self, timeout: float = 5.0, *, polite: bool = True) -> None:
        """Says BYE where that is still possible and closes the channel; never raises.

        Args:
            timeout: seconds for the agent's end, and then for each of our threads.
            polite: without it nobody waits for the agent to end: its guest is about to be thrown away.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            polite = polite and self._failure is None and not self._open
            self._lock.notify_all()
        if polite:
            with contextlib.suppress(Exception):  # the guest is about to be thrown away
                self._channel.write(self._writer.bye())
                self._threads[0].join(timeout)
        with contextlib.suppress(Exception):
            self._channel.close()
        for thread in self._threads:
            thread.join(timeout)

    def __enter__(self) -> AgentSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- who waits for whom -----------------------------------------------

    def _watched(self, pending: Pending) -> bool:
        """Whether a step without a record is still in somebody's hands.

        Asked by those who wait for it: should our threads have lost it, the wait ends all the same.
        """
        with self._lock:
            if pending.done:
                return True
            if self._failure is not None or not self._threads[0].is_alive():
                return False
            if self._open and self._open[0] is pending:
                return self._overdue(pending, time.monotonic()) is None
            return pending in self._open

    def _forget(self, pending: Pending) -> None:
        """Ends the session over a step that the threads have lost."""
        pending.fail(forgotten(pending))
        self._end(forgotten(pending))

    def _overdue(self, head: Pending, now: float) -> float | None:
        """The seconds that the oldest step has taken, where they are more than it has."""
        since = head.begun_at or head.head_at or now
        return now - since if now - since > head.timeout + self._margin else None

    # ---- threads ----------------------------------------------------------

    def _write_loop(self) -> None:
        while True:
            with self._lock:
                while (not self._queue or self._gathering) and not self._closing and self._failure is None:
                    self._lock.wait()
                if self._failure is not None or (self._closing and not self._queue):
                    return
                batch = list(self._queue)
                self._queue.clear()
            try:
                if self._journal is not None:
                    self._journal([pending.intent(step) for pending, step in batch])
            except OSError as error:
                self._end(AgentError(f"cannot write the journal: {error}", hint="is the disk full?"))
                return
            try:
                self._channel.write(b"".join(self._writer.step(p.seq, step) for p, step in batch))
            except (OSError, EOFError) as error:
                # The reader may still find the records, or the reason, that the guest sent before.
                self._said.note(f"writing to the agent failed: {error}")
                self._unwritable_since = time.monotonic()
                return
            except Exception as error:  # a bug here must not leave callers waiting for ever
                self._end(AgentError(f"cannot send steps: {error!r}", where="agent"))
                return

    def _read_loop(self) -> None:
        try:
            for frame in self._early:
                self._take(frame)
            looked = time.monotonic()
            while True:
                try:
                    data = self._channel.read(_READ_SIZE, timeout=_POLL)
                except TimeoutError:
                    data = None
                if data is not None:
                    if not data:
                        self._end_of_stream()
                        return
                    for frame in self._parser.feed(data):
                        self._take(frame)
                    self.heard.tell()
                now = time.monotonic()
                if now - looked > _HELD_UP:
                    self._excuse(now - looked)
                looked = now
                if self._watch():
                    return
        except AgentError as error:
            self._end(error)
        except (OSError, EOFError) as error:
            self._end(self._said.lost(str(error)))
        except Exception as error:  # a bug here must not leave callers waiting for ever
            self._end(AgentError(f"cannot read the agent's frames: {error!r}", where="agent"))

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Log):
            self._said.note(frame.text)
        elif isinstance(frame, Begin):
            with self._lock:
                head = self._head(frame.seq, "BEGIN")
                if head.begun_at is not None:
                    raise AgentError(f"a second BEGIN for step {frame.seq}", where="agent")
                head.begun_at = time.monotonic()
                self.heard.begun = frame.seq
        elif isinstance(frame, Record):
            with self._lock:
                head = self._head(frame.seq, "RECORD")
                if head.begun_at is None:
                    raise AgentError(f"RECORD without BEGIN for step {frame.seq}", where="agent")
                # One that was refused as malformed may have had no op to repeat.
                if frame.op != head.op and frame.outcome in self._carried_out:
                    why = f"RECORD of op {frame.op} for step {frame.seq}, which is of op {head.op}"
                    raise AgentError(why, where="agent")
                self._pop()
                self.heard.answered = frame.seq
            head.resolve(frame)
        elif isinstance(frame, Fault):
            if frame.seq == 0:
                raise reported(self._abi, frame)
            with self._lock:
                head = self._head(frame.seq, "ERROR")
                self._pop()
                self.heard.answered = frame.seq
            head.fail(reported(self._abi, frame, head.what))
        else:
            raise AgentError("a second HELLO", where="agent")

    def _head(self, seq: int, kind: str) -> Pending:
        if not self._open or self._open[0].seq != seq:
            expected = f"step {self._open[0].seq} is next" if self._open else "no step is open"
            raise AgentError(f"{kind} for step {seq}, but {expected}", where="agent")
        return self._open[0]

    def _pop(self) -> None:
        pending = self._open.popleft()
        self._open_bytes -= pending.size
        if self._open:
            self._open[0].head_at = time.monotonic()
        self._lock.notify_all()

    def _fits(self, size: int) -> bool:
        # An empty window takes anything: a step alone is never larger than a frame.
        return not self._open or (len(self._open) < self._window and self._open_bytes + size <= WINDOW_BYTES)

    def _excuse(self, seconds: float) -> None:
        """Time in which nobody could read an answer does not count against the step on its way."""
        with self._lock:
            if self._open:
                head, now = self._open[0], time.monotonic()
                if head.begun_at is not None:
                    head.begun_at = min(now, head.begun_at + seconds)
                if head.head_at is not None:
                    head.head_at = min(now, head.head_at + seconds)

    def _watch(self) -> bool:
        """Ends the session when the oldest step is overdue; true when the session is over."""
        now = time.monotonic()
        if self._unwritable_since is not None and now - self._unwritable_since > _WRITE_GRACE:
            self._end(self._said.lost("it takes no more steps"))
            return True
        with self._lock:
            if self._failure is not None:
                return True
            if not self._open:
                return False
            head = self._open[0]
            waited = self._overdue(head, now)
            if waited is None:
                return False
            hung = StepHungError(head.seq, begun=head.begun_at is not None, waited=waited)
        self._end(hung)
        return True

    def _end_of_stream(self) -> None:
        with self._lock:
            if self._closing and not self._open:
                self._failure = StepNotReachedError("the session is closed")
                self._lock.notify_all()
                return
        inside = self._parser.incomplete
        where = f" inside a frame, {inside} bytes into it" if inside else ""
        self._end(self._said.lost(f"the channel ended{where}"))

    def _end(self, error: Exception) -> None:
        with self._lock:
            if self._failure is not None:
                return
            self._failure = error
            struck = list(self._open)
            self._in_flight = struck[0] if struck else None
            self._open.clear()
            self._queue.clear()
            self._lock.notify_all()
        fail_all(struck, error)
