/** Which protocol a connection without TLS speaks: one that opens with the preface of HTTP/2 does, every other one HTTP/1.1. */
import type { Socket } from 'node:net';

/** RFC 9113, 3.4. No method of HTTP/1.1 starts so. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface Detected {
  http1(socket: Socket): void;
  http2(socket: Socket): void;
  /** It has not said enough in time. */
  late(socket: Socket): void;
}

/** Each connection goes to one of them, with all that has been read of it. */
export function detectProtocol(socket: Socket, withinMs: number, to: Detected): void {
  let read: Buffer = Buffer.alloc(0);

  function settle(take: (socket: Socket) => void): void {
    clearTimeout(timer);
    socket.off('readable', look).off('end', end).off('close', stop).off('error', ignore);
    if (read.length > 0) socket.unshift(read);
    take(socket);
  }

  function look(): void {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    read = read.length === 0 ? chunk : Buffer.concat([read, chunk]);
    const length = Math.min(read.length, PREFACE.length);
    if (!read.subarray(0, length).equals(PREFACE.subarray(0, length))) settle(to.http1);
    else if (length === PREFACE.length) settle(to.http2);
  }

  // It has ended before it said what it is.
  const end = () => socket.destroy();
  const stop = () => clearTimeout(timer);
  const ignore = () => undefined;
  const timer = setTimeout(() => settle(to.late), withinMs);
  timer.unref();
  socket.on('readable', look).once('end', end).once('close', stop).on('error', ignore);
}
