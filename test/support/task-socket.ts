/** A client of `/ws/task/{id}`, for tests. */
import WebSocket, { type ClientOptions } from 'ws';
import { until } from '../harness/until.ts';
import { noteMessage, noteUpgrade } from './contract/observed.ts';

export interface SocketClient {
  messages: Array<Record<string, unknown>>;
  protocol(): string;
  /** The code with which it was closed, or `401` and the like when it was not let in. */
  ended(): Promise<number>;
  leave(): void;
}

export function openSocket(url: string, options: ClientOptions & { protocols?: string[] } = {}): SocketClient {
  const { protocols, ...rest } = options;
  const socket = new WebSocket(url.replace(/^http/, 'ws'), protocols ?? [], rest);
  let end: number | undefined;
  const client: SocketClient = {
    messages: [],
    protocol: () => socket.protocol,
    async ended() {
      await until(() => end !== undefined, { what: 'the socket is closed' });
      return end ?? 0;
    },
    leave: () => socket.terminate(),
  };
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as Record<string, unknown>; // Always an object.
    noteMessage(message);
    client.messages.push(message);
  });
  socket.on('unexpected-response', (_request, response) => {
    end = response.statusCode ?? 0;
    noteUpgrade(end);
    response.resume();
  });
  socket.on('close', (code) => {
    end ??= code;
  });
  socket.on('error', () => undefined);
  return client;
}
