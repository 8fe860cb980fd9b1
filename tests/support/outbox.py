"""Lines on their way to one client: in order, as one segment, or byte by byte.

`then` of a line runs when its last byte has been handed to the kernel, so that the pool never
judges a client by something it has not been told yet.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import AsyncIterator, Callable

LINES_WAITING = 20_000
COALESCE_SECONDS = 0.02
COALESCE_BYTES = 16_384
PAUSE_EVERY_BYTES = 16
PAUSE_SECONDS = 0.0005
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Outgoing:
    line: bytes = b""
    stream: AsyncIterator | None = None  # sent instead of a line, chunk after chunk
    then: Callable | None = None


class Outbox:
    def __init__(self, writer: asyncio.StreamWriter, options, rng):
        self.writer = writer
        self.single_bytes = options.single_bytes
        self.coalesce = options.coalesce
        self.rng = rng
        self.waiting = asyncio.Queue(LINES_WAITING)
        self.closed = False
        self.sealed = False  # nothing may follow what is waiting
        # Buffer nothing here: drain() then means that the kernel has the bytes.
        writer.transport.set_write_buffer_limits(high=0)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def open(self) -> bool:
        return not self.closed and not self.sealed

    def send(self, line: bytes, then: Callable | None = None) -> None:
        self._put(Outgoing(line=line, then=then))

    def stream(self, chunks: AsyncIterator) -> None:
        self._put(Outgoing(stream=chunks))

    def cut_after(self, part: bytes) -> None:
        """Ends the connection behind these bytes, whatever else is sent to it from now on."""
        self._put(Outgoing(line=part, then=self.close))
        self.sealed = True

    def close(self) -> None:
        """FIN: what has been written still arrives."""
        self.closed = True
        self.writer.close()

    def abort(self) -> None:
        """RST: what has been written may be lost."""
        self.closed = True
        if not self.writer.is_closing():
            tcp = self.writer.get_extra_info("socket")
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.writer.transport.abort()

    async def run(self) -> None:
        """Writes until the connection ends."""
        try:
            while not self.closed:
                for outgoing in await self._next():
                    await self._write(outgoing)
        except OSError:
            self.abort()

    def _put(self, outgoing: Outgoing) -> None:
        if not self.open:
            return
        if self.waiting.full():  # a client that does not read
            self.abort()
            return
        self.waiting.put_nowait(outgoing)

    async def _next(self) -> list:
        """The next line, or with coalescing and unless bytes go singly, several made one."""
        first = await self.waiting.get()
        if not self.coalesce or self.single_bytes or first.stream:
            return [first]
        await asyncio.sleep(COALESCE_SECONDS)
        batch, size = [first], len(first.line)
        while not self.waiting.empty() and size < COALESCE_BYTES and not batch[-1].stream:
            batch.append(self.waiting.get_nowait())
            size += len(batch[-1].line)
        streams = [outgoing for outgoing in batch if outgoing.stream]
        lines = [outgoing for outgoing in batch if not outgoing.stream]
        joined = Outgoing(line=b"".join(outgoing.line for outgoing in lines),
                          then=lambda: [o.then() for o in lines if o.then])
        return [joined, *streams]

    async def _write(self, outgoing: Outgoing) -> None:
        if outgoing.stream is not None:
            async for chunk in outgoing.stream:
                await self._send_bytes(chunk)
        elif self.single_bytes:
            await self._write_singly(outgoing.line)
        else:
            await self._send_bytes(outgoing.line)
        if outgoing.then is not None and not self.closed:
            outgoing.then()

    async def _write_singly(self, line: bytes) -> None:
        for index in range(len(line)):
            if index % PAUSE_EVERY_BYTES == 0:
                await asyncio.sleep(self.rng.uniform(0, 2 * PAUSE_SECONDS))
            await self._send_bytes(line[index:index + 1])  # nothing is awaited behind the last byte

    async def _send_bytes(self, data: bytes) -> None:
        if self.closed or self.writer.is_closing():
            raise ConnectionError("closed")
        self.writer.write(data)
        await self.writer.drain()
