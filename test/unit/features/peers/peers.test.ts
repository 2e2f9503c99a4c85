import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { supersedes, type Versioned } from '../../../../src/features/peers/domain.ts';
import { delayAfter, type NotifyPeersDeps, notifyPeers } from '../../../../src/features/peers/exchange.ts';
import type { DuePeer, PeerStore, PendingChange } from '../../../../src/features/peers/ports.ts';
import {
  peerFault,
  peerHeaders,
  SIGNATURE_HEADER,
  TIMESTAMP_HEADER,
} from '../../../../src/features/peers/sign-peer.ts';
import type { Json } from '../../../../src/schemas/json.ts';
import { createTestLog } from '../../../harness/test-log.ts';

describe('of several states', () => {
  const state: fc.Arbitrary<Versioned> = fc.record({ version: fc.nat(5), origin: fc.constantFrom('a', 'b', 'c') });

  test('the same one wins in whatever order they come, however often', () => {
    const merge = (states: readonly Versioned[]) =>
      states.reduce<Versioned | undefined>((held, next) => (supersedes(next, held) ? next : held), undefined);
    fc.assert(
      fc.property(fc.array(state, { minLength: 1 }), fc.infiniteStream(fc.nat()), (states, order) => {
        const keyed = states.map((one) => ({ one, key: order.next().value as number })); // An endless stream.
        const shuffled = keyed.sort((x, y) => x.key - y.key).map(({ one }) => one);
        expect(merge([...shuffled, ...states])).toEqual(merge(states));
      }),
    );
  });

  test('none supersedes itself, and of two different ones exactly one does the other', () => {
    fc.assert(
      fc.property(state, state, (one, other) => {
        expect(supersedes(one, one)).toBe(false);
        const same = one.version === other.version && one.origin === other.origin;
        expect(Number(supersedes(one, other)) + Number(supersedes(other, one))).toBe(same ? 0 : 1);
      }),
    );
  });
});

describe('a signature', () => {
  const now = new Date('2030-01-01T00:00:00Z');
  const body: Json = { b: [1, { y: 2, x: null }], a: 'ä' };
  const check = (headers: Record<string, string>, seconds = 0, given: Json = body, secrets = ['s']) =>
    peerFault(
      secrets,
      { timestamp: headers[TIMESTAMP_HEADER], signature: headers[SIGNATURE_HEADER] },
      new Date(now.getTime() + seconds * 1000),
      given,
    );
  const headers = peerHeaders('s', now, body);

  test('holds for the body, whatever the order of its keys, and for five minutes each way', () => {
    expect(check(headers)).toBeUndefined();
    expect(check(headers, 0, { a: 'ä', b: [1, { x: null, y: 2 }] })).toBeUndefined();
    expect([check(headers, 300), check(headers, -300)]).toEqual([undefined, undefined]);
    expect(check(headers, 301)).toContain('more than 300 s');
    expect(check(headers, -301)).toContain('more than 300 s');
  });

  test('of any of several secrets is valid, of no other one', () => {
    expect(check(headers, 0, body, ['t', 's'])).toBeUndefined();
    expect(check(headers, 0, body, ['t'])).toContain('another secret');
    expect(check(headers, 0, { ...(body as object), c: 1 })).toContain('another secret');
    expect(check({ ...headers, [TIMESTAMP_HEADER]: String(now.getTime() / 1000 + 1) })).toContain('another secret');
  });

  test.each([
    {},
    { [TIMESTAMP_HEADER]: 'x' },
    { [SIGNATURE_HEADER]: 'v1,' },
    { [SIGNATURE_HEADER]: 'v2,AA==' },
    { [TIMESTAMP_HEADER]: '' },
  ])('that is none is refused: %j', (changed) => {
    const given = Object.keys(changed).length === 0 ? {} : { ...headers, ...changed };
    expect(check(given)).toEqual(expect.any(String));
  });
});

describe('a peer', () => {
  const due: DuePeer = { url: 'http://peer:1', failures: 2, asked: 3 };
  const change = (index: number, bytes = 10): PendingChange => ({
    tenantId: 't',
    name: `s${String(index).padStart(3, '0')}`,
    version: index,
    service: null,
    bytes,
  });

  function telling(
    owed: PendingChange[],
    answer: (changes: Array<{ name: string }>) => { status?: number; body: unknown },
  ) {
    const told: string[][] = [];
    const ends: Array<[string, object]> = [];
    const acknowledged = new Set<string>();
    const peers = {
      takeDue: async () => [due],
      installation: async () => 'me',
      pending: async (_url, after, limit) =>
        owed.filter(({ name }) => !acknowledged.has(name) && name > (after?.name ?? '')).slice(0, limit),
      acknowledge: async (_url, taken) => void taken.map(({ name }) => acknowledged.add(name)),
      succeeded: async (_peer, seen) => void ends.push(['succeeded', seen]),
      failed: async (_peer, failure) => void ends.push(['failed', failure]),
      release: async () => void ends.push(['released', {}]),
    } satisfies Partial<PeerStore>;
    const log = createTestLog();
    let time = 0;
    const deps: NotifyPeersDeps = {
      peers: peers as unknown as PeerStore, // What notifying uses of it.
      urls: [due.url],
      secrets: [],
      fetch: async (_url, { body, signal }) => {
        signal.throwIfAborted();
        const { changes } = JSON.parse(body) as { changes: Array<{ name: string }> };
        told.push(changes.map(({ name }) => name));
        const { status = 200, body: given } = answer(changes);
        return { status, text: async () => (typeof given === 'string' ? given : JSON.stringify(given)) };
      },
      now: () => new Date(0),
      elapsed: () => (time += 5),
      random: () => 0,
      log,
    };
    return { deps, told, ends, acknowledged };
  }
  const taking = (changes: unknown[]) => ({ body: { id: 'it', results: changes.map(() => ({ outcome: 'applied' })) } });

  test('is sent in batches, each change once, and seen when it has taken all', async () => {
    const { deps, told, ends, acknowledged } = telling(
      Array.from({ length: 120 }, (_, index) => change(index)),
      taking,
    );
    await notifyPeers(deps, new AbortController().signal);
    expect(told.map(({ length }) => length)).toEqual([50, 50, 20]);
    expect(acknowledged.size).toBe(120);
    expect(ends).toEqual([['succeeded', { id: 'it', latencyMs: 5, error: null, nextMs: 30_000 }]]);
  });

  test('is sent less at once when it is much', async () => {
    const { deps, told } = telling([change(1, 300_000), change(2, 300_000), change(3, 900_000), change(4)], taking);
    await notifyPeers(deps, new AbortController().signal);
    expect(told).toEqual([['s001'], ['s002'], ['s003'], ['s004']]);
  });

  test('with nothing to be sent is pinged', async () => {
    const { deps, told, ends } = telling([], taking);
    await notifyPeers(deps, new AbortController().signal);
    expect([told, ends[0]?.[0]]).toEqual([[[]], 'succeeded']);
  });

  test('that has no room for one gets it later, and the others are not delayed', async () => {
    const { deps, ends, acknowledged } = telling([change(1), change(2), change(3)], (changes) => ({
      body: { id: 'it', results: changes.map(({ name }) => ({ outcome: name === 's002' ? 'full' : 'stale' })) },
    }));
    await notifyPeers(deps, new AbortController().signal);
    expect([...acknowledged]).toEqual(['s001', 's003']);
    expect(ends).toMatchObject([['succeeded', { error: 'it has no room for 1 services' }]]);
  });

  test.each<[string, { status?: number; body: unknown }, string]>([
    ['refuses', { status: 401, body: {} }, 'it answered 401'],
    ['answers with a page', { body: '<html>' }, 'it answered with something else'],
    ['answers of something else', { body: { ok: true } }, 'it answered with something else'],
    ['answers for less', { body: { id: 'it', results: [] } }, 'it did not answer for each change'],
  ])('that %s is asked again later and owed all of it', async (_what, answer, why) => {
    const { deps, ends, acknowledged } = telling([change(1)], () => answer);
    await notifyPeers(deps, new AbortController().signal);
    expect(acknowledged.size).toBe(0);
    expect(ends).toEqual([['failed', { error: expect.stringContaining(why), againMs: 4_000 }]]);
  });

  test('is somebody else’s at once when this worker ends', async () => {
    const { deps, ends } = telling([change(1)], taking);
    await notifyPeers(deps, AbortSignal.abort());
    expect(ends).toEqual([['released', {}]]);
  });

  test('is tried again after a second, then twice as late each time, and after five minutes at the latest', () => {
    expect([0, 1, 2, 8, 9, 50].map((failures) => delayAfter(failures, 0))).toEqual([
      1_000, 2_000, 4_000, 256_000, 300_000, 300_000,
    ]);
    expect(delayAfter(0, 1)).toBe(800);
  });
});
