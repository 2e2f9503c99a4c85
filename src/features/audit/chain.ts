/**
 * The chain of a tenant's audit: SHA-256 over the hash of the entry before and the canonical JSON of the entry, in which
 * its number and time are too. What was tampered with is named as exactly as what remains allows.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../../engine/accept/request-hash.ts';
import type { AuditChain, AuditContent, AuditEntry, AuditHead } from '../../engine/ports/audit.ts';

export const NO_HASH = '0'.repeat(64);

export function hashOf(previous: string, content: AuditContent): string {
  return createHash('sha256').update(Buffer.from(previous, 'hex')).update(canonicalJson(content)).digest('hex');
}

export type Tampering = 'changed' | 'missing' | 'inserted' | 'reordered' | 'truncated' | 'rewritten';

export interface BrokenChain {
  what: Tampering;
  /** The first entry that is not as it was written. */
  seq: number;
  detail: string;
}

/** Reads a chain in pages; a fault is explained by the entries behind it. */
export type ChainPages = (after: number) => Promise<AuditEntry[]>;

export async function checkChain(
  chain: AuditChain,
  pages: ChainPages,
  anchors: readonly AuditHead[],
): Promise<{ entries: number; broken: BrokenChain | undefined }> {
  const anchored = new Map(anchors.map(({ seq, hash }) => [seq, hash]));
  let [seq, hash, entries] = [chain.pruned_seq, chain.pruned_hash, 0];
  let previous: string | undefined;
  for (let page = await pages(seq); page.length > 0; page = await pages(seq)) {
    for (const [index, entry] of page.entries()) {
      const ahead = page.slice(index);
      const follows = entry.seq === seq + 1 && followsFrom(hash, entry);
      if (!follows) {
        // What explains it may be on the next page.
        const behind = ahead.length > 2 ? [] : await pages(entry.seq + ahead.length - 1);
        return { entries, broken: explain({ seq, hash, previous }, [...ahead, ...behind]) };
      }
      if (entry.seq > chain.seq) {
        return { entries, broken: broken('inserted', entry.seq, `the chain ends with entry ${chain.seq}`) };
      }
      [previous, seq, hash, entries] = [hash, entry.seq, entry.hash, entries + 1];
      if ((anchored.get(seq) ?? hash) !== hash) {
        return { entries, broken: broken('rewritten', seq, 'an anchor has another hash for it') };
      }
    }
  }
  const end = Math.max(chain.seq, ...anchored.keys());
  if (end > seq) {
    return {
      entries,
      broken: broken('truncated', seq + 1, `${end - seq} entries are missing at the end, up to ${end}`),
    };
  }
  if (chain.hash !== hash) return { entries, broken: broken('rewritten', seq, 'the head has another hash for it') };
  return { entries, broken: undefined };
}

interface Position {
  seq: number;
  hash: string;
  /** The hash before that. */
  previous: string | undefined;
}

/** `rest` starts with the entry that does not follow from what is before it. */
function explain(before: Position, rest: readonly AuditEntry[]): BrokenChain {
  const [entry, next] = rest;
  const expected = before.seq + 1;
  if (entry === undefined) throw new Error('there is nothing to explain');
  if (entry.seq !== expected) {
    const last = entry.seq - 1;
    const which = last === expected ? `entry ${expected}` : `entries ${expected} to ${last}`;
    return broken('missing', expected, `${which}: the next one there is ${entry.seq}`);
  }
  const original = rest.find((other) => other !== entry && followsFrom(before.hash, { ...other, seq: expected }));
  if (original !== undefined) {
    // Whether this one belongs where the other was: then they changed places.
    const previous = original.seq === expected + 1 ? original : rest.find(({ seq }) => seq === original.seq - 1);
    const swapped = previous !== undefined && followsFrom(previous.hash, { ...entry, seq: original.seq });
    return swapped
      ? broken('reordered', expected, `it has changed places with entry ${original.seq}`)
      : broken('inserted', expected, `what was entry ${expected} is entry ${original.seq} now`);
  }
  if (before.previous !== undefined && followsFrom(before.previous, { ...entry, seq: before.seq })) {
    return broken('inserted', before.seq, `what was entry ${before.seq} is entry ${entry.seq} now`);
  }
  // The others have moved up: each still follows from the one before it, under the number that it had.
  if (next !== undefined && followsFrom(entry.hash, { ...next, seq: next.seq + 1 })) {
    return broken('missing', expected, 'the entries behind it have been given its number and the next ones');
  }
  const itself = next === undefined || followsFrom(entry.hash, next);
  return broken(
    'changed',
    expected,
    itself ? 'its content is not what its hash was made of' : 'it, or the one before it',
  );
}

function followsFrom(previous: string, { hash, ...content }: AuditEntry): boolean {
  return hashOf(previous, content) === hash;
}

function broken(what: Tampering, seq: number, detail: string): BrokenChain {
  return { what, seq, detail };
}
