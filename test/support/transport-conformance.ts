/** What every transport of flow runs promises, as tests that run against each of them with its real server. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type {
  Consumer,
  HandleMessages,
  IncomingMessage,
  OutgoingMessage,
  Transport,
} from '../../src/features/flow-runner/transport/ports.ts';
import { createRandom } from '../harness/random.ts';
import { until } from '../harness/until.ts';
import { type MemberProgram, startDyingMember } from './dying-member.ts';

export interface RawMessage {
  key: string | null;
  value: Buffer | null;
  headers: Readonly<Record<string, string>>;
}

/** A server, and programs that use it without our code. */
export interface TransportWorld {
  name: Transport['name'];
  open(offsetReset: 'latest' | 'earliest'): Transport;
  /** One that soon takes over what a member has that is not heard of any more; the others wait for longer than a test. */
  openSuccessor(): Transport;
  /** The same for a process that is killed. */
  member: MemberProgram;
  createTopic(topic: string, partitions: number): Promise<void>;
  write(topic: string, messages: readonly RawMessage[]): Promise<void>;
  read(topic: string): Promise<RawMessage[]>;
  away(): Promise<void>;
  back(): Promise<void>;
  /** Has the group be further than the topic has messages. */
  moveBeyondEnd(group: string, topic: string): Promise<void>;
  close(): Promise<void>;
}

const LARGE = 'ä'.repeat(200_000);
const SEEDS = [1, 2, 3];

export function transportConformance(name: string, makeWorld: () => Promise<TransportWorld>): void {
  describe(`a transport of flow runs: ${name}`, () => {
    let world: TransportWorld;
    let names = 0;
    const opened: Transport[] = [];

    beforeAll(async () => {
      world = await makeWorld();
    });
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((transport) => transport.close()));
    });
    afterAll(() => world.close());

    function open(offsetReset: 'latest' | 'earliest' = 'earliest'): Transport {
      const transport = world.open(offsetReset);
      opened.push(transport);
      return transport;
    }
    /** A topic that nobody has used, and a group of its own. */
    async function fresh(partitions = 1): Promise<{ topic: string; group: string }> {
      names += 1;
      const topic = `topic_${names}`;
      await world.createTopic(topic, partitions);
      return { topic, group: `group-${names}` };
    }

    test('others read what is published, with its key, headers and bytes, in its order', async () => {
      const { topic } = await fresh();
      const transport = open();
      await transport.publish([
        message(topic, 'a', '{"n":1,"é":"☃"}', { traceparent: '00-1', attempt: '0' }),
        message(topic, 'b', LARGE),
        message(topic, 'a', ''),
      ]);
      await transport.publish([]);
      expect(await world.read(topic)).toEqual([
        { key: 'a', value: Buffer.from('{"n":1,"é":"☃"}'), headers: { traceparent: '00-1', attempt: '0' } },
        { key: 'b', value: Buffer.from(LARGE), headers: {} },
        { key: 'a', value: Buffer.alloc(0), headers: {} },
      ]);
    });

    test('what others write is consumed as it is: without a key, without a value, empty, large, no text', async () => {
      const { topic, group } = await fresh();
      const written: RawMessage[] = [
        { key: 'k', value: Buffer.from('{}'), headers: { kind: 'é' } },
        { key: null, value: Buffer.from('no key'), headers: {} },
        { key: 'gone', value: null, headers: {} },
        { key: 'empty', value: Buffer.alloc(0), headers: {} },
        { key: 'large', value: Buffer.from(LARGE), headers: {} },
        { key: 'bytes', value: Buffer.from([0, 255, 254, 10, 13, 0]), headers: {} },
      ];
      await world.write(topic, written);
      const got = consumed(open(), group, topic);
      await until(() => got.length === written.length, { what: 'all came' });
      expect(got.map(({ key, value, headers }) => ({ key, value, headers }))).toEqual(written);
      expect(new Set(got.map(({ offset }) => offset)).size).toBe(written.length);
      for (const { topic: of, partition, timestamp } of got) {
        expect({ of, partition }).toEqual({ of: topic, partition: 0 });
        expect(Math.abs(timestamp.getTime() - Date.now())).toBeLessThan(600_000);
      }
    });

    test('messages come in the order in which they were published, over many batches', async () => {
      const { topic, group } = await fresh();
      const transport = open();
      for (let batch = 0; batch < 30; batch += 1) {
        await transport.publish(numbers(20).map((n) => message(topic, 'same', String(batch * 20 + n))));
      }
      const got = consumed(transport, group, topic);
      await until(() => got.length === 600, { what: 'all came' });
      expect(got.map(textOf)).toEqual(numbers(600).map(String));
    });

    test('what is not done with comes again, in its order, and nothing that is done with', async () => {
      const { topic, group } = await fresh();
      await world.write(topic, numbers(6).map(raw));
      const calls: string[][] = [];
      consume(open(), group, topic, async (messages) => {
        calls.push(messages.map(textOf));
        return Math.min(messages.length, 2);
      });
      await until(() => doneIn(calls) === 6, { what: 'all are done with' });
      let first = 0;
      for (const call of calls) {
        expect(call[0]).toBe(String(first));
        expect(call).toEqual([...call].sort());
        first += Math.min(call.length, 2);
      }
    });

    test('where handling throws nothing is done with', async () => {
      const { topic, group } = await fresh();
      await world.write(topic, numbers(3).map(raw));
      const calls: string[][] = [];
      const transport = open();
      consume(transport, group, topic, async (messages) => {
        calls.push(messages.map(textOf));
        if (calls.length < 3) throw new Error('the database is away');
        return messages.length;
      });
      await until(async () => (await lagOf(transport, group, topic)) === 0, { what: 'all are done with' });
      expect(calls.slice(0, 3).map(([head]) => head)).toEqual(['0', '0', '0']);
      expect(calls.slice(2).flat()).toEqual(['0', '1', '2']);
    });

    test('two members of a group share the messages, and none comes twice', async () => {
      const { topic, group } = await fresh(2);
      const got = [consumed(open(), group, topic), consumed(open(), group, topic)];
      let published = 0;
      await until(
        async () => {
          await world.write(
            topic,
            numbers(4).map((n) => ({ ...raw(published + n), key: `key-${published + n}` })),
          );
          published += 4;
          return got.every((ofMember) => ofMember.length > 0);
        },
        { what: 'both have some' },
      );
      // A partition that changed hands may bring again what was not committed: from here on both have theirs.
      const before = published;
      await world.write(
        topic,
        numbers(100).map((n) => ({ ...raw(before + n), key: `key-${n}` })),
      );
      const late = () =>
        got
          .flat()
          .map(textOf)
          .filter((text) => Number(text) >= before);
      await until(() => new Set(late()).size === 100, { what: 'all came' });
      expect(late()).toHaveLength(100);
    });

    test('what a member had in hand when it died goes to another one', async () => {
      const { topic, group } = await fresh();
      await world.write(topic, numbers(5).map(raw));
      const dying = startDyingMember(world.member, group, topic);
      await until(() => dying.got.length > 0, { what: 'the member has some' });
      await dying.kill();
      const successor = world.openSuccessor();
      opened.push(successor);
      const got = consumed(successor, group, topic);
      await until(() => got.length >= 5, { what: 'the other one has all' });
      expect(new Set(got.map(textOf))).toEqual(new Set(numbers(5).map(String)));
    });

    test('a consumer that is closed says so, waits for what is in hand, and gives back what is not done with', async () => {
      const { topic, group } = await fresh();
      await world.write(topic, numbers(4).map(raw));
      let first: readonly IncomingMessage[] | undefined;
      let isAborted = false;
      let finish: (done: number) => void = () => undefined;
      const closing = consume(open(), group, topic, (messages, signal) => {
        first ??= messages;
        signal.addEventListener('abort', () => {
          isAborted = true;
        });
        return new Promise((resolve) => {
          finish = resolve;
        });
      });
      await until(() => first, { what: 'some are in hand' });
      let isClosed = false;
      const closed = closing.close().then(() => {
        isClosed = true;
      });
      await until(() => isAborted, { what: 'the signal' });
      expect(isClosed).toBe(false);
      finish(1);
      await closed;
      const got = consumed(open(), group, topic);
      await until(() => got.length === 3, { what: 'the others came' });
      expect(got.map(textOf)).toEqual(['1', '2', '3']);
    });

    test('after a restart a group goes on where it was', async () => {
      const { topic, group } = await fresh();
      const first = open();
      await world.write(topic, numbers(3).map(raw));
      const before = consumed(first, group, topic);
      await until(() => before.length === 3, { what: 'the first messages' });
      await first.close();
      await world.write(topic, [3, 4].map(raw));
      const after = consumed(open('latest'), group, topic);
      await until(() => after.length === 2, { what: 'what came meanwhile' });
      expect(after.map(textOf)).toEqual(['3', '4']);
    });

    test('every group gets every message', async () => {
      const { topic, group } = await fresh();
      const transport = open();
      const got = [consumed(transport, group, topic), consumed(transport, `${group}-other`, topic)];
      await transport.publish(numbers(10).map((n) => message(topic, 'k', String(n))));
      await until(() => got.every((ofGroup) => ofGroup.length === 10), { what: 'both have all' });
      for (const ofGroup of got) expect(ofGroup.map(textOf)).toEqual(numbers(10).map(String));
    });

    test('a group that has committed nothing starts where it is said to', async () => {
      const { topic, group } = await fresh();
      await world.write(topic, [{ ...raw(0), value: Buffer.from('old') }]);
      const earliest = consumed(open('earliest'), `${group}-earliest`, topic);
      const latest = consumed(open('latest'), `${group}-latest`, topic);
      await until(
        async () => {
          await world.write(topic, [{ ...raw(0), value: Buffer.from('new') }]);
          return latest.length > 0 && earliest.length > 1;
        },
        { what: 'a new message' },
      );
      expect(earliest.map(textOf)[0]).toBe('old');
      expect(latest.map(textOf)).not.toContain('old');
    });

    test('a server that is away is waited for: nothing that was published is lost, and nothing passes as published', async () => {
      const { topic, group } = await fresh();
      const transport = open();
      const got = consumed(transport, group, topic);
      await transport.publish([message(topic, 'k', 'before')]);
      await until(() => got.length === 1, { what: 'the first message' });
      await transport.ping();

      await world.away();
      await expect(transport.ping()).rejects.toThrow();
      await expect(transport.publish([message(topic, 'k', 'meanwhile')])).rejects.toThrow();
      await world.back();

      await until(() => transport.ping().then(() => true), { what: 'it answers' });
      await until(() => transport.publish([message(topic, 'k', 'after')]).then(() => true), { what: 'it takes more' });
      await until(() => got.map(textOf).includes('after'), { what: 'the message after' });
    });

    test('the lag of a group is what it has not done with, in hand or not', async () => {
      const { topic, group } = await fresh();
      const transport = open();
      let isPaused = false;
      consume(transport, group, topic, async ({ length }) => (isPaused ? 0 : length));
      await world.write(topic, numbers(3).map(raw));
      await until(async () => (await lagOf(transport, group, topic)) === 0, { what: 'no lag' });
      isPaused = true;
      await world.write(topic, numbers(7).map(raw));
      await until(async () => (await lagOf(transport, group, topic)) === 7, { what: 'a lag of seven' });
      isPaused = false;
      await until(async () => (await lagOf(transport, group, topic)) === 0, { what: 'no lag again' });
    });

    test('it says which topics there are not, makes none, and finds a group that is beyond the end', async () => {
      const { topic, group } = await fresh();
      const transport = open();
      await world.write(topic, numbers(3).map(raw));
      const missing = { topic: `${topic}_missing`, exists: false, beyondEnd: [] };
      expect(await transport.check(group, [topic, missing.topic])).toEqual([
        { topic, exists: true, beyondEnd: [] },
        missing,
      ]);
      await world.moveBeyondEnd(group, topic);
      expect(await transport.check(group, [topic])).toEqual([{ topic, exists: true, beyondEnd: [0] }]);
      expect(await transport.check(group, [missing.topic])).toEqual([missing]);
    });

    test.each(SEEDS)('at any mix of failures each message is done with at least once, seed %i', async (seed) => {
      const random = createRandom(seed);
      const { topic, group } = await fresh(2);
      const done = new Set<string>();
      const all = numbers(300).map(String);
      const publisher = open();
      const handle: HandleMessages = async (messages) => {
        if (random.chance(0.1)) throw new Error('by chance');
        const count = random.chance(0.6) ? messages.length : random.whole(0, messages.length);
        for (const one of messages.slice(0, count)) done.add(textOf(one));
        return count;
      };
      let consumers = [consume(open(), group, topic, handle), consume(open(), group, topic, handle)];
      for (let at = 0; at < all.length; ) {
        const size = random.whole(1, 40);
        const part = all.slice(at, at + size);
        await publisher.publish(part.map((value) => message(topic, `key-${random.whole(0, 9)}`, value)));
        at += size;
        if (!random.chance(0.15)) continue;
        const [oldest, ...others] = consumers;
        await oldest?.close();
        consumers = [...others, consume(open(), group, topic, handle)];
      }
      await until(() => done.size === all.length, { what: `all are done with, seed ${seed}` });
      await until(async () => (await lagOf(publisher, group, topic)) === 0, { what: 'no lag' });
    });
  });
}

/** Where at most two of each call are. */
function doneIn(calls: ReadonlyArray<readonly string[]>): number {
  return calls.reduce((sum, { length }) => sum + Math.min(length, 2), 0);
}

function consume(transport: Transport, group: string, topic: string, handle: HandleMessages): Consumer {
  return transport.consume({ topics: [topic], group, handle });
}

/** All that comes, as it comes. */
function consumed(transport: Transport, group: string, topic: string): IncomingMessage[] {
  const got: IncomingMessage[] = [];
  consume(transport, group, topic, async (messages) => {
    got.push(...messages);
    return messages.length;
  });
  return got;
}

/** Of all partitions; undefined while the group is not known. */
async function lagOf(transport: Transport, group: string, topic: string): Promise<number | undefined> {
  const lags = await transport.lag(group, [topic]);
  return lags.length === 0 ? undefined : lags.reduce((sum, { lag }) => sum + lag, 0);
}

function message(topic: string, key: string, value: string, headers: Record<string, string> = {}): OutgoingMessage {
  return { topic, key, value, headers };
}

function raw(n: number): RawMessage {
  return { key: 'k', value: Buffer.from(String(n)), headers: {} };
}

function textOf({ value }: IncomingMessage): string {
  return String(value);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
