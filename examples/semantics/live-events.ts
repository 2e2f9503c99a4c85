/** The events of an execution while it runs, in two connections: the second one goes on where the first one ended. */
import { begin, type Example } from './example.ts';

const DEFINITION = {
  name: 'three steps',
  actions: [
    { action_id: 'a', action_type: 'test_task', config: { n: 1 } },
    { action_id: 'b', action_type: 'wait', depends_on: ['a'], config: { seconds: 0.5 } },
    { action_id: 'c', action_type: 'test_task', depends_on: ['b'], config: { n: 3 } },
  ],
};

interface Told {
  id: number;
  event: string;
}

export const liveEvents: Example = {
  name: 'live-events',
  async run(api, say) {
    const url = `${api.url}/workflows/executions/${await begin(api, DEFINITION)}/events`;
    const first = await read(url, undefined, ({ event }) => event === 'task.completed');
    const last = first.at(-1)?.id;
    const rest = await read(url, last, ({ event }) => event === 'run.completed');
    const all = [...first, ...rest];
    say(all.map(({ id, event }) => `${id} ${event}`).join(', '));
    return all.every(({ id }, place) => id === place) && all.at(-1)?.event === 'run.completed' && first.length > 0;
  },
};

/** Numbered events after `lastId`, up to the first that `isLast` says yes of. */
async function read(url: string, lastId: number | undefined, isLast: (told: Told) => boolean): Promise<Told[]> {
  const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': String(lastId) }) };
  const reader = (await fetch(url, { headers })).body?.getReader();
  const decoder = new TextDecoder();
  const told: Told[] = [];
  let text = '';
  for (;;) {
    const part = await reader?.read();
    if (part?.value === undefined) return told;
    const messages = (text + decoder.decode(part.value, { stream: true })).split('\n\n');
    text = messages.pop() ?? '';
    for (const message of messages) {
      const id = /^id: ?(\d+)$/m.exec(message)?.[1];
      const event = /^event: ?(\S+)$/m.exec(message)?.[1];
      if (id === undefined || event === undefined) continue;
      told.push({ id: Number(id), event });
      if (!isLast({ id: Number(id), event })) continue;
      await reader?.cancel();
      return told;
    }
  }
}
