/**
 * Writes the audit beside what is audited: entries are sent in groups, in the order in which they came. The queue is
 * bounded; what has no room in it, or remains at the end, is counted and logged, and the count is itself an entry.
 */

import type { Audit, AuditEvent, AuditHead, AuditStore } from '../../engine/ports/audit.ts';
import { NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { createDenials } from './denials.ts';

const MAX_QUEUED = 20_000;
const MAX_DENIED_QUEUED = 10_000;
/** An answer waits no longer for its entry. */
const WRITE_TIMEOUT_MS = 2_000;
const LOG_DROPPED_EVERY_MS = 10_000;
/** So many entries are anchored without waiting for the minute to be over. */
export const ANCHOR_EVERY_ENTRIES = 1_000;

/** Sends its items in groups and in order (src/store/core/batch.ts). */
export interface AuditQueue {
  (event: AuditEvent): Promise<AuditHead | undefined>;
  size(): number;
  drain(): Promise<void>;
}

export interface AuditTrailDeps {
  queue(append: AuditStore['append']): AuditQueue;
  store: Pick<AuditStore, 'append'>;
  /** Takes away values that are secrets. */
  mask(text: string): string;
  /** Called with the end of each chain that grew, every minute and every thousand entries. */
  anchor(heads: readonly AuditHead[]): Promise<void>;
  now(): number;
  log: Logger;
}

export interface AuditTrail extends Audit {
  /** Entries that wait. */
  queued(): number;
  /** Since the start of the process. */
  dropped(): number;
  /** What was counted is written; called every few seconds. */
  writeCounted(): void;
  /** The ends of the chains that grew here since the last time; called every minute. */
  anchorGrown(): Promise<void>;
  /** At most that long; what remains then is lost, and logged. */
  close(graceMs: number): Promise<void>;
}

export function createAuditTrail({ queue, store, mask, anchor, now, log }: AuditTrailDeps): AuditTrail {
  const denials = createDenials(now);
  const grown = new Map<string, AuditHead>();
  let dropped = 0;
  let droppedUnlogged = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;
  let unanchored = 0;
  let anchoring = Promise.resolve();
  const send = queue(async (events) => {
    const heads = await store.append(events);
    for (const head of heads) grown.set(head.tenant_id, head);
    unanchored += events.length;
    if (unanchored >= ANCHOR_EVERY_ENTRIES) void anchorGrown();
    return heads;
  });

  function drop(event: AuditEvent, why: string): void {
    dropped += 1;
    droppedUnlogged += 1;
    if (now() - loggedAt < LOG_DROPPED_EVERY_MS) return;
    loggedAt = now();
    log.error('audit_dropped', { dropped, tenant_id: event.tenant_id, action: event.action, why });
  }

  async function enqueue(event: AuditEvent): Promise<void> {
    if (send.size() >= (event.decision === 'denied' ? MAX_DENIED_QUEUED : MAX_QUEUED))
      return drop(event, 'the queue is full');
    await send(bounded(event, mask)).catch((error: Error) => drop(event, error.message));
  }

  /** One after the other: a file of anchors has each chain's in their order. */
  function anchorGrown(): Promise<void> {
    unanchored = 0;
    anchoring = anchoring.then(async () => {
      const heads = [...grown.values()];
      grown.clear();
      if (heads.length > 0)
        await anchor(heads).catch((error: Error) => log.error('audit_anchor_not_written', { error: error.message }));
    });
    return anchoring;
  }

  return {
    write(event) {
      const written = enqueue(event);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          log.warn('audit_late', { tenant_id: event.tenant_id, action: event.action, queued: send.size() });
          resolve();
        }, WRITE_TIMEOUT_MS);
      });
      return Promise.race([written, late]).finally(() => clearTimeout(timer));
    },
    note(event) {
      void enqueue(event);
    },
    denied(event) {
      const first = denials.take(event);
      if (first !== undefined) void enqueue(first);
    },
    queued: send.size,
    dropped: () => dropped,
    writeCounted() {
      for (const event of denials.due()) void enqueue(event);
      if (droppedUnlogged > 0 && send.size() === 0) {
        const count = droppedUnlogged;
        droppedUnlogged = 0;
        void enqueue(lost(count));
      }
    },
    anchorGrown,
    async close(graceMs) {
      for (const event of denials.due(true)) void enqueue(event);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), graceMs);
      });
      const ended = await Promise.race([send.drain(), late]);
      clearTimeout(timer);
      if (ended === 'late') log.error('audit_dropped', { dropped: dropped + send.size(), why: 'the process ends' });
      await anchorGrown();
    },
  };
}

function lost(count: number): AuditEvent {
  const who = { actor: 'orchestrator', means: 'none', credential: null, address: null, user_agent: null };
  const what = { action: 'audit.dropped', permission: null, resource_type: null, resource_id: null };
  const ids = { request_id: null, trace_id: null };
  return {
    tenant_id: NOBODYS_CHAIN,
    ...who,
    ...what,
    decision: 'failed',
    reason: null,
    status: null,
    ...ids,
    details: { count },
  };
}

const MAX_TEXT = 512;
const MAX_DETAILS = 4_096;
/** After an even number of backslashes: then it is an escape. */
const UNSTORABLE_ESCAPED = /(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;
const UNSTORABLE = /\p{Surrogate}|\0/gu;

/** Without secrets, of a bounded size, and storable: PostgreSQL has no NUL, and half a character is none. */
function bounded(event: AuditEvent, mask: (text: string) => string): AuditEvent {
  const text = (value: string) => mask(value).slice(0, MAX_TEXT).replace(UNSTORABLE, '\ufffd');
  const entries = Object.entries(event).map(([key, value]) => [key, typeof value === 'string' ? text(value) : value]);
  // JSON escapes both of them.
  const json = mask(JSON.stringify(event.details)).replace(UNSTORABLE_ESCAPED, '\\ufffd');
  const details: unknown = json.length <= MAX_DETAILS ? JSON.parse(json) : { truncated: true };
  return { ...(Object.fromEntries(entries) as AuditEvent), details: details as AuditEvent['details'] }; // The same keys; and what was JSON is JSON.
}
