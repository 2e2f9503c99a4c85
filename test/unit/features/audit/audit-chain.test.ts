/** What is done to a chain behind its back is found, and named for what it is. */
import { expect, test } from 'vitest';
import type { AuditChain, AuditContent, AuditEntry, AuditHead } from '../../../../src/engine/ports/audit.ts';
import { hashOf, NO_HASH } from '../../../../src/features/audit/chain.ts';
import { verifyAudit } from '../../../../src/features/audit/verify.ts';

const NOBODY = { means: 'none', credential: null, permission: null, address: null, user_agent: null, reason: null };

function contentOf(seq: number, action = `action-${seq}`): AuditContent {
  return {
    ...{ tenant_id: 't', seq, at: new Date(1_900_000_000_000 + seq).toISOString(), actor: 'anna', ...NOBODY, action },
    ...{ resource_type: null, resource_id: null, decision: 'allowed', status: 200, request_id: null, trace_id: null },
    details: { b: 1, a: 'x' },
  };
}

function grow(count: number): { chain: AuditChain; entries: AuditEntry[] } {
  const entries: AuditEntry[] = [];
  for (let seq = 1; seq <= count; seq += 1) entries.push(follow(entries.at(-1)?.hash ?? NO_HASH, contentOf(seq)));
  const hash = entries.at(-1)?.hash ?? NO_HASH;
  return { chain: { tenant_id: 't', seq: count, hash, pruned_seq: 0, pruned_hash: NO_HASH }, entries };
}

function follow(previous: string, content: AuditContent): AuditEntry {
  return { ...content, hash: hashOf(previous, content) };
}

/** Entries move to where they stand in the list. */
const renumbered = (entries: AuditEntry[]) => entries.map((entry, index) => ({ ...entry, seq: index + 1 }));

async function verify(chain: AuditChain | undefined, entries: AuditEntry[], anchors: AuditHead[] = []) {
  const lines: string[] = [];
  const store = {
    chains: async (after: string | undefined) => (after === undefined && chain !== undefined ? [chain] : []),
    entries: async (_tenant: string, after: number, limit: number) =>
      entries.filter(({ seq }) => seq > after).slice(0, limit),
  };
  const told = new Map(anchors.length === 0 ? [] : [['t', anchors]]);
  const { broken, entries: whole } = await verifyAudit(store, told, (line) => lines.push(line));
  const fault = broken[0]?.fault;
  return { broken: fault && [fault.what, fault.seq], whole, lines };
}

test('a chain that nobody touched is intact, over many pages', async () => {
  const { chain, entries } = grow(1_203);
  const anchor = entries[700] as AuditEntry; // It is there.
  expect(await verify(chain, entries, [anchor])).toEqual({
    broken: undefined,
    whole: 1_203,
    lines: ['tenant t: 1203 entries, OK'],
  });
  expect(await verify({ ...chain, seq: 0, hash: NO_HASH }, [])).toMatchObject({ broken: undefined, whole: 0 });
});

test('of a chain whose start has been removed by retention the rest is checked', async () => {
  const { chain, entries } = grow(9);
  const pruned = { ...chain, pruned_seq: 4, pruned_hash: entries[3]?.hash ?? '' };
  expect(await verify(pruned, entries.slice(4), [entries[1] as AuditEntry])).toMatchObject({
    broken: undefined,
    whole: 5,
  });
  expect(await verify(pruned, entries.slice(5))).toMatchObject({ broken: ['missing', 5] });
});

test.each([1, 4, 9, 499, 500, 501])('an entry that was changed is named: %i', async (seq) => {
  const { chain, entries } = grow(seq + 3);
  const changed = entries.map((entry) => (entry.seq === seq ? { ...entry, actor: 'mallory' } : entry));
  expect((await verify(chain, changed)).broken).toEqual(['changed', seq]);
  const last = entries.slice(0, seq).map((entry) => (entry.seq === seq ? { ...entry, details: {} } : entry));
  const end = { ...chain, seq, hash: entries[seq - 1]?.hash ?? '' };
  expect((await verify(end, last)).broken).toEqual(['changed', seq]);
});

test('an entry that was changed with its hash is found at the next one, or by the head', async () => {
  const { chain, entries } = grow(6);
  const forged = entries.map((entry) =>
    entry.seq === 3 ? follow(entries[1]?.hash ?? '', { ...contentOf(3), actor: 'mallory' }) : entry,
  );
  expect((await verify(chain, forged)).broken).toEqual(['changed', 4]);
  const last = entries.map((entry) =>
    entry.seq === 6 ? follow(entries[4]?.hash ?? '', contentOf(6, 'other')) : entry,
  );
  expect((await verify(chain, last)).broken).toEqual(['rewritten', 6]);
});

test('an entry that is missing is named, whether the others were given new numbers or not', async () => {
  const { chain, entries } = grow(8);
  const without = entries.filter(({ seq }) => seq !== 4);
  expect(await verify(chain, without)).toMatchObject({ broken: ['missing', 4], whole: 3 });
  expect((await verify(chain, renumbered(without))).broken).toEqual(['missing', 4]);
});

test('an entry that was put in between is named', async () => {
  const { chain, entries } = grow(8);
  const forged = { ...follow(entries[2]?.hash ?? '', contentOf(4, 'forged')) };
  const more = renumbered([...entries.slice(0, 3), forged, ...entries.slice(3)]);
  expect((await verify({ ...chain, seq: 9 }, more)).broken).toEqual(['inserted', 4]);
  const crude = renumbered([...entries.slice(0, 3), { ...forged, hash: 'ab'.repeat(32) }, ...entries.slice(3)]);
  expect((await verify({ ...chain, seq: 9 }, crude)).broken).toEqual(['inserted', 4]);
  const behind = [...entries, follow(chain.hash, contentOf(9))];
  expect((await verify(chain, behind)).broken).toEqual(['inserted', 9]);
});

test.each([
  [3, 4],
  [2, 6],
])('entries %i and %i that changed places are named', async (one, other) => {
  const { chain, entries } = grow(8);
  const [a, b] = [entries[one - 1], entries[other - 1]];
  const swapped = renumbered(entries.map((entry) => (entry === a ? b : entry === b ? a : entry) as AuditEntry)); // Both are there.
  expect((await verify(chain, swapped)).broken).toEqual(['reordered', one]);
});

test('an end that was cut off is found by the head, and with the head by an anchor', async () => {
  const { chain, entries } = grow(8);
  const short = entries.slice(0, 5);
  expect((await verify(chain, short)).broken).toEqual(['truncated', 6]);
  const head = { ...chain, seq: 5, hash: entries[4]?.hash ?? '' };
  expect((await verify(head, short)).broken).toBeUndefined();
  expect((await verify(head, short, [entries[6] as AuditEntry])).broken).toEqual(['truncated', 6]);
  expect((await verify(undefined, [], [entries[1] as AuditEntry])).broken).toEqual(['truncated', 1]);
});

test('a chain that was written anew entirely is found by an anchor only', async () => {
  const { entries } = grow(8);
  let hash = NO_HASH;
  const anew = entries.map(({ seq }) => {
    const entry = follow(hash, contentOf(seq, seq < 3 ? 'innocent' : `action-${seq}`));
    hash = entry.hash;
    return entry;
  });
  const head = { tenant_id: 't', seq: 8, hash, pruned_seq: 0, pruned_hash: NO_HASH };
  expect((await verify(head, anew)).broken).toBeUndefined();
  expect((await verify(head, anew, [entries[4] as AuditEntry])).broken).toEqual(['rewritten', 5]);
});
