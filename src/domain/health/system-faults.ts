/**
 * Faults of the system itself, found by what was observed and not by a list of what was foreseen: who failed, with what
 * error, how often in a row and since when. Decides which of them are problems and which cannot pass by themselves. Pure.
 */
import { maskTokens, maskUrlPasswords } from '../texts/mask-secrets.ts';

export const FAULT_KINDS = ['write_path', 'connection', 'statement', 'delivery', 'work', 'progress'] as const;
/**
 * `write_path`: the probe of the statements that accept, claim and commit. `connection`: the database cannot be reached.
 * `statement`: one statement is rejected. `delivery`: deliveries of a lane end outside of the engine. `work`: background work
 * fails pass after pass. `progress`: no error says it, and yet nothing moves.
 */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What an error is, in words that may leave the process: without values, without secrets, bounded. */
export interface FaultError {
  /** An SQLSTATE, a code of Node, or `error`. */
  class: string;
  message: string;
}

export interface Fault extends FaultError {
  kind: FaultKind;
  /** A statement, a loop, a lane: bounded by the code. */
  source: string;
  /** Milliseconds since 1970, of the clock of the process that observed it. */
  firstAt: number;
  lastAt: number;
  /** In a row, without a success of the same source between. */
  count: number;
}

const MAX_MESSAGE = 300;

/** Once may be a deploy that is under way; what the database rejects twice it goes on to reject. */
const REJECTED_TIMES = 2;
/** What passes by itself is left this long to do so. */
const PASSES_WITHIN_MS = 8_000;
/** Faults of sources that are used only on requests from outside end when no more of them come. */
const FORGOTTEN_AFTER_MS = 30_000;

/**
 * Syntax errors and missing rights (42), invalid catalogues and schemas (3D, 3F), features not supported (0A), rejected logins
 * (28), read-only transactions (25006), and the probe's own word for a server that is too old: none of these passes without
 * somebody who repairs it.
 */
export function cannotPass(errorClass: string): boolean {
  return /^(?:42|3D|3F|0A|28)[0-9A-Z]{3}$/.test(errorClass) || errorClass === '25006' || errorClass === OLD_SERVER;
}
export const OLD_SERVER = 'unsupported_version';

/** No answer in time, as to who waits for a lock: of the lock (55P03), of the statement (57014), or none at all. */
export function mayBeOfLock(errorClass: string): boolean {
  return errorClass === '55P03' || errorClass === '57014' || errorClass === 'no_answer';
}

export function toFaultError(errorClass: string | undefined, message: string): FaultError {
  const [line = ''] = message.split('\n', 1);
  return { class: errorClass ?? 'error', message: maskTokens(maskUrlPasswords(line)).slice(0, MAX_MESSAGE) };
}

/** Whether it is to be shown: it has repeated, or lasted. */
export function isProblem({ kind, class: of, firstAt, lastAt, count }: Fault): boolean {
  if (kind === 'write_path' || kind === 'progress') return true;
  if (cannotPass(of)) return count >= REJECTED_TIMES;
  return count >= REJECTED_TIMES && lastAt - firstAt >= PASSES_WITHIN_MS;
}

/** Nobody has met it for so long that it says nothing of now. Background work repeats by itself, and so ends by success alone. */
export function isForgotten({ kind, lastAt }: Fault, now: number): boolean {
  return kind !== 'work' && now - lastAt > FORGOTTEN_AFTER_MS;
}

/** The fault after one more failure of the same source. Another error is another fault. */
export function afterFailure(
  previous: Fault | undefined,
  seen: Pick<Fault, 'kind' | 'source'> & FaultError,
  now: number,
): Fault {
  const goesOn = previous !== undefined && previous.class === seen.class;
  return { ...seen, firstAt: goesOn ? previous.firstAt : now, lastAt: now, count: goesOn ? previous.count + 1 : 1 };
}

const WORDS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^42P01$/, 'a table is missing'],
  [/^42703$/, 'a column is missing'],
  [/^42883$/, 'a function is missing'],
  [/^42501$/, 'a privilege is missing'],
  [/^42601$/, 'the server does not understand a statement: its version may not be supported'],
  [/^42/, 'the schema or the rights do not fit this release'],
  [/^25006$/, 'the database is read-only'],
  [/^3D/, 'the database is missing'],
  [/^3F/, 'a schema is missing'],
  [/^0A/, 'the server does not support what is needed'],
  [/^28/, 'the login is rejected'],
  [/^unsupported_version$/, 'the version of the server is not supported'],
  [/^53100$/, 'the disk of the database is full'],
  [/^53200$/, 'the database has no memory left'],
  [/^53300$/, 'the database has no connection left'],
  [/^53/, 'the database lacks resources'],
  [/^(?:55P03|57014)$/, 'the database does not answer in time: something holds a lock, or it is overloaded'],
  [/^40/, 'transactions conflict again and again'],
  [/^(?:08|57P)/, 'the database cannot be reached'],
  [/^E[A-Z_]+$/, 'a store cannot be reached'],
  [/^no_answer$/, 'the database does not answer'],
  [/^redelivered$/, 'tasks are delivered again and again without an outcome'],
];

/** The class in plain words, for those who may not see what the server says. */
export function plainWords(errorClass: string): string {
  return WORDS.find(([of]) => of.test(errorClass))?.[1] ?? 'an unexpected error';
}

/** What must happen for it to end. */
export function remedyOf(errorClass: string): string {
  if (errorClass === '25006')
    return 'Make the database writable (default_transaction_read_only, a standby that was not promoted).';
  if (errorClass === '42501' || errorClass.startsWith('28'))
    return 'Give the role of DATABASE_URL its rights back: `npm run migrate` grants them, `npm run doctor` names what is missing.';
  if (errorClass === OLD_SERVER || errorClass === '42601' || errorClass.startsWith('0A'))
    return 'Use a PostgreSQL of a supported version, and the migrations of this release (`npm run migrate`).';
  if (cannotPass(errorClass))
    return 'Bring the schema back to what this release expects: `npm run migrate`, then `npm run doctor`.';
  if (errorClass === '53100') return 'Make room on the disk of the database.';
  if (errorClass.startsWith('53')) return 'Give the database what it lacks.';
  if (/^(?:08|57P|E[A-Z])/.test(errorClass)) return 'Bring the store back; it is tried again by itself.';
  if (/^(?:55P03|57014|no_answer|40)/.test(errorClass))
    return 'Find what holds the locks (pg_stat_activity, pg_locks) or overloads the database.';
  if (errorClass === 'redelivered')
    return 'GET /executions/{id}/why of executions of this lane: their tasks may end their workers, or something ends their deliveries.';
  return 'Look at the logs for the same words; `npm run doctor` looks at the whole installation.';
}

/**
 * One for each cause: of several sources with one class and message the one that says most (its kind comes first), with
 * the oldest time and the names of all.
 */
export interface FaultGroup extends Fault {
  sources: string[];
  /** Of the sources, those that are lanes: their deliveries end with it. */
  lanes: string[];
  /** Processes that have it; empty: the one that answers. */
  reporters: string[];
}

export function groupFaults(faults: ReadonlyArray<Fault & { reporter?: string | undefined }>): FaultGroup[] {
  const groups = new Map<string, FaultGroup>();
  for (const fault of faults.toSorted(byKind)) {
    const { reporter, ...own } = fault;
    const lanes = fault.kind === 'delivery' ? [fault.source] : [];
    const reporters = reporter === undefined ? [] : [reporter];
    const key = `${fault.class} ${fault.message}`;
    const existing = groups.get(key);
    if (existing === undefined) {
      groups.set(key, { ...own, sources: [own.source], lanes, reporters });
      continue;
    }
    existing.firstAt = Math.min(existing.firstAt, fault.firstAt);
    existing.lastAt = Math.max(existing.lastAt, fault.lastAt);
    existing.count = Math.max(existing.count, fault.count);
    existing.sources = [...new Set([...existing.sources, fault.source])];
    existing.lanes = [...new Set([...existing.lanes, ...lanes])];
    existing.reporters = [...new Set([...existing.reporters, ...reporters])];
  }
  return [...groups.values()];
}

function byKind(one: Fault, other: Fault): number {
  return FAULT_KINDS.indexOf(one.kind) - FAULT_KINDS.indexOf(other.kind) || one.firstAt - other.firstAt;
}

/** The delay before a source that fails is tried again: it doubles from `fromMs` to `toMs`. */
export function growingDelay(failures: number, fromMs: number, toMs: number): number {
  return Math.min(toMs, fromMs * 2 ** Math.min(Math.max(0, failures - 1), 20));
}
