/** The events of an execution, each once and in order, over however many connections that takes. */
import { UnauthorizedError } from './generated/errors.ts';
import type { ExecutionEvent } from './generated/types.ts';
import { addressOf } from './operations.ts';
import { type ClientOptions, either, isPassing, open, type RequestOptions } from './request.ts';
import { backoff, deadline, sleep } from './wait.ts';

/** One message of the stream. Progress of running tasks comes without an id, and is not sent again. */
export interface StreamedEvent {
  id: string | undefined;
  /** `run.started`, `task.completed`, `task.progress`, … */
  event: string;
  data: Partial<ExecutionEvent['data']> & Record<string, unknown>;
}

export interface EventsOptions extends RequestOptions {
  /** Only what came after that one. */
  lastEventId?: string | undefined;
}

/** The service says that it is there every 15 s. */
const SILENCE_MS = 45_000;
const OUTAGE_MS = 600_000;

/** Ends when the execution has ended. */
export async function* streamEvents(
  client: ClientOptions,
  executionId: string,
  options: EventsOptions = {},
): AsyncGenerator<StreamedEvent, void, undefined> {
  const path = addressOf('getExecutionEvents', { execution_id: executionId });
  const signal = either(options.signal, client.signal);
  let last = options.lastEventId;
  let failures = 0;
  let reachedAt = Date.now();
  for (;;) {
    const limit = deadline(SILENCE_MS, signal);
    try {
      const resume = last === undefined ? {} : { 'last-event-id': last };
      const headers = { ...options.headers, ...resume };
      const request = { method: 'GET', path, accept: 'text/event-stream' };
      const response = await open(client, request, { ...options, headers }, limit.signal);
      if (response.status === 204 || response.body === null) return;
      for await (const message of messagesIn(response.body, limit.extend)) {
        reachedAt = Date.now();
        failures = 0;
        if (message.event === 'stream.closed') throw closedStream(message.data);
        last = message.id ?? last;
        yield message;
      }
      // It ends after the last event, and 204 says that it was the last one.
      if (failures === 0) continue;
    } catch (error) {
      signal?.throwIfAborted();
      const isCut = !(error instanceof Error) || error.name === 'TypeError' || limit.isOver();
      if (!isCut && !isPassing(error)) throw error;
      if (Date.now() - reachedAt > (client.outageMs ?? OUTAGE_MS)) throw error;
    } finally {
      limit.close();
    }
    failures += 1;
    await sleep(backoff(failures), signal);
  }
}

function closedStream({ message }: StreamedEvent['data']): UnauthorizedError {
  return new UnauthorizedError(401, { code: 'unauthorized', detail: String(message) });
}

/** Server-Sent Events (WHATWG HTML, 9.2.6). A message that is not whole when the connection ends is dropped. */
export async function* messagesIn(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void = () => undefined,
): AsyncGenerator<StreamedEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let lines: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      const parts = `${rest}${decoder.decode(value, { stream: true })}`.split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop() ?? '';
      for (const line of parts) {
        if (line !== '') lines.push(line);
        else {
          const message = messageOf(lines);
          lines = [];
          if (message !== undefined) yield message;
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function messageOf(lines: readonly string[]): StreamedEvent | undefined {
  const data: string[] = [];
  let id: string | undefined;
  let event = 'message';
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === 'data') data.push(value);
    if (name === 'event') event = value;
    if (name === 'id') id = value;
  }
  if (data.length === 0) return undefined;
  return { id, event, data: JSON.parse(data.join('\n')) as StreamedEvent['data'] }; // As the document has it.
}
