/** How far a group is on a stream. */
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { PartitionLag, TopicCheck } from '../ports.ts';
import type { StreamsClient } from './client.ts';
import { isAfter } from './entries.ts';

/** Where Redis does not say how many are new, so many are counted at most. */
const COUNTED = 10_000;

type Facts = ReadonlyMap<string, Buffer | number | null>;

/** Undefined: there is no such stream or group. */
export async function lagOf(client: StreamsClient, group: string, topic: string): Promise<PartitionLag | undefined> {
  const found = await groupOf(client, group, topic);
  if (found === undefined) return undefined;
  const known = found.get('lag');
  const isNew = typeof known === 'number' ? known : await countAfter(client, topic, textOf(found, 'last-delivered-id'));
  return { topic, partition: 0, lag: Number(found.get('pending')) + isNew };
}

export async function checkStream(client: StreamsClient, group: string, topic: string): Promise<TopicCheck> {
  const stream = await existing(client.call('XINFO', 'STREAM', topic));
  if (stream === undefined) return { topic, exists: false, beyondEnd: [] };
  const found = await groupOf(client, group, topic);
  const end = textOf(factsOf(stream), 'last-generated-id');
  const isBeyond = found !== undefined && isAfter(textOf(found, 'last-delivered-id'), end);
  return { topic, exists: true, beyondEnd: isBeyond ? [0] : [] };
}

async function groupOf(client: StreamsClient, group: string, topic: string): Promise<Facts | undefined> {
  const groups = await existing(client.call('XINFO', 'GROUPS', topic));
  return groups?.map(factsOf).find((facts) => textOf(facts, 'name') === group);
}

/** What XINFO answers; undefined where there is no such key. */
async function existing(answer: Promise<unknown>): Promise<unknown[] | undefined> {
  try {
    return (await answer) as unknown[]; // A list, in both forms.
  } catch (error) {
    if (/no such key/i.test(errorMessage(error))) return undefined;
    throw error;
  }
}

/** Names and values in turn. */
function factsOf(answer: unknown): Facts {
  const flat = answer as Array<Buffer | number | null>; // What XINFO answers of one thing.
  const facts = new Map<string, Buffer | number | null>();
  for (let at = 0; at + 1 < flat.length; at += 2) facts.set(String(flat[at]), flat[at + 1] ?? null);
  return facts;
}

function textOf(facts: Facts, name: string): string {
  return String(facts.get(name) ?? '0-0');
}

/** Before Redis 7, and where entries were deleted. */
async function countAfter(client: StreamsClient, topic: string, id: string): Promise<number> {
  const entries = await client.call('XRANGE', topic, `(${id}`, '+', 'COUNT', COUNTED);
  return (entries as unknown[]).length;
}
