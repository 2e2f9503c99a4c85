/** A reader of Server-Sent Events, as a browser would be, for tests. */
import { until } from '../harness/until.ts';
import { noteEvent } from './contract/observed.ts';

export interface WireEvent {
  id: number;
  event: string;
  data: Record<string, unknown>;
}

export interface EventStream {
  status: number;
  headers: Headers;
  /** What has come so far. */
  events: WireEvent[];
  /** The same, with what has no id (then it is NaN) in between. */
  all: WireEvent[];
  /** `run.started`, `task.completed a`, … */
  told(): string[];
  ids(): number[];
  comments: string[];
  retry: number | undefined;
  /** True once the server has ended the stream in good order. */
  ended(): boolean;
  /** True once the connection has broken. */
  broken(): boolean;
  /** Resolves when the server has ended it. */
  end(): Promise<void>;
  leave(): void;
}

export async function openEvents(url: string, headers: Record<string, string> = {}): Promise<EventStream> {
  const going = new AbortController();
  const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: going.signal });
  let state: 'open' | 'ended' | 'broken' = 'open';
  const stream: EventStream = {
    status: response.status,
    headers: response.headers,
    events: [],
    all: [],
    told: () =>
      stream.events.map(({ event, data }) =>
        data['action_id'] === null ? event : `${event} ${String(data['action_id'])}`,
      ),
    ids: () => stream.events.map(({ id }) => id),
    comments: [],
    retry: undefined,
    ended: () => state === 'ended',
    broken: () => state === 'broken',
    async end() {
      await until(() => state !== 'open', { what: 'the stream ends' });
      if (state === 'broken') throw new Error('the stream broke');
    },
    leave: () => going.abort(),
  };
  const read = async () => {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true }); // A body gives bytes.
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) take(stream, block);
    }
  };
  void read().then(
    () => {
      state = 'ended';
    },
    () => {
      state = 'broken';
    },
  );
  return stream;
}

function take(stream: EventStream, block: string): void {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    if (line.startsWith(':')) stream.comments.push(line.slice(1).trim());
    else fields.set(line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2));
  }
  const retry = fields.get('retry');
  if (retry !== undefined) stream.retry = Number(retry);
  const [id, event, data] = [fields.get('id'), fields.get('event'), fields.get('data')];
  if (event === undefined || data === undefined) return;
  const told = { id: Number(id), event, data: JSON.parse(data) as Record<string, unknown> }; // An object, always.
  noteEvent(told.event, told.data);
  stream.all.push(told);
  if (id !== undefined) stream.events.push(told);
}
