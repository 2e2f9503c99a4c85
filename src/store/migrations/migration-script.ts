/**
 * Runs a migration script: as one transaction that never waits long for a lock, since whoever waits for one makes everybody
 * wait who comes after, and a long transaction may hold it for minutes. Or beside the traffic, line by line.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

const LOCK_TIMEOUT_MS = 2_000;
/** With the pauses, about two minutes. Then the script fails, and the next start tries again. */
const MAX_TRIES = 40;
/** Not a lock in time; a deadlock with traffic. */
const PASSING = new Set(['55P03', '40P01']);

/** On a line that is no comment. */
const BESIDE = /^(?!\s*--).*\bCONCURRENTLY\b/im;
const WHOLE_LINE = /^\s*(?:--.*|.*;)?\s*$/;

export async function runScript(pool: pg.Pool, script: string): Promise<void> {
  const client = await pool.connect();
  try {
    await inOneTransaction(client, () => client.query(script));
  } finally {
    client.release();
  }
}

/**
 * `note` says that it is done: both happen or neither. What may be in no transaction can be done without being noted; then it
 * is done once more.
 */
export async function runNoted(client: pg.ClientBase, script: string, note: () => Promise<void>): Promise<void> {
  if (isBeside(script)) {
    await runBeside(client, script);
    await note();
  } else {
    await inOneTransaction(client, async () => {
      // As it is: PostgreSQL finds its statements.
      await client.query(script);
      await note();
    });
  }
}

/** May be in no transaction. */
export function isBeside(script: string): boolean {
  return BESIDE.test(script);
}

/** `work` is tried again while others hold its locks. `random` is in [0, 1). */
async function inOneTransaction(
  client: pg.ClientBase,
  work: () => Promise<unknown>,
  random: () => number = Math.random,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await work();
      await client.query('COMMIT');
      return;
    } catch (error) {
      // A connection that cannot do that is closed, which also rolls back.
      await client.query('ROLLBACK').catch(() => undefined);
      if (tries === MAX_TRIES || !isPassing(error)) throw error;
      // The others get the locks in between, each pause longer than a quick transaction.
      await sleep(500 + 1_000 * random());
    }
  }
}

/**
 * Waits for as long as it takes, because nobody waits for it. A line is one statement, so nothing has to be taken apart. The
 * first is `DROP INDEX CONCURRENTLY IF EXISTS`: what ended in the middle has left half an index.
 */
async function runBeside(client: pg.ClientBase, script: string): Promise<void> {
  const lines = script.split('\n');
  const open = lines.findIndex((line) => !WHOLE_LINE.test(line));
  if (open >= 0)
    throw new Error(
      `line ${open + 1} is no whole statement: beside something that is done CONCURRENTLY each is one line and ends with a semicolon`,
    );
  for (const line of lines) await client.query(line);
}

function isPassing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && PASSING.has(String(error.code));
}
