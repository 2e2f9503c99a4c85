/**
 * A message as an entry of a stream: the field `value` is the JSON itself, as on Kafka, so a program in any language adds one
 * with `XADD flow_runs * value '{…}'` and reads nothing else. `key` and one `header:<name>` for each header stand beside it.
 */
import type { IncomingMessage, OutgoingMessage } from '../ports.ts';

const HEADER = 'header:';
/** The largest time that a Date can have: a client that adds an entry may choose its id. */
const LAST_TIME = 8_640_000_000_000_000;

/** As Redis answers them: an id and its fields, names and values in turn; null for an entry that was deleted meanwhile. */
export type RawEntry = [id: Buffer, fields: Buffer[] | null];

export function fieldsOf({ key, value, headers }: OutgoingMessage): string[] {
  return ['value', value, 'key', key, ...Object.entries(headers).flatMap(([name, text]) => [HEADER + name, text])];
}

export function messageOf(topic: string, [id, fields]: RawEntry): IncomingMessage {
  const offset = id.toString();
  const headers = new Map<string, string>();
  let value: Buffer | null = null;
  let key: string | null = null;
  for (let at = 0; fields !== null && at + 1 < fields.length; at += 2) {
    const name = String(fields[at]);
    const content = fields[at + 1] ?? Buffer.alloc(0);
    if (name === 'value') value = content;
    else if (name === 'key') key = content.toString();
    else if (name.startsWith(HEADER)) headers.set(name.slice(HEADER.length), content.toString());
  }
  const timestamp = new Date(Math.min(LAST_TIME, millisecondsOf(offset)));
  return { topic, partition: 0, offset, key, value, headers: Object.fromEntries(headers), timestamp };
}

export function bytesOf({ value, key }: IncomingMessage): number {
  return (value?.length ?? 0) + (key?.length ?? 0);
}

/** Whether the entry of one id comes after that of the other. */
export function isAfter(one: string, other: string): boolean {
  const [[ms, n], [otherMs, otherN]] = [partsOf(one), partsOf(other)];
  return ms === otherMs ? n > otherN : ms > otherMs;
}

function millisecondsOf(id: string): number {
  return Number(id.split('-')[0]);
}

function partsOf(id: string): [bigint, bigint] {
  const [ms = '0', n = '0'] = id.split('-');
  return [BigInt(ms), BigInt(n)];
}
