/**
 * One migration: all of its statements, and the note that they are done, in one transaction. It never waits long for a
 * lock: whoever waits for one makes everybody wait who comes after, and a long transaction may hold it for minutes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

const LOCK_TIMEOUT_MS = 2_000;
/** With the pauses, about two minutes. Then the migration fails as a whole, and the next start tries again. */
const MAX_TRIES = 40;
/** Not a lock in time; a deadlock with traffic. */
const PASSING = new Set(['55P03', '40P01']);

const COMMENT = /--[^\n]*/g;
const APART = /\bCONCURRENTLY\b/i;

/** Left behind by a process that ended in the middle: its transaction is gone, so nothing of it was done. */
const FORGET_UNFINISHED = `
UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL`;

/** With the migration itself: a process that ends now has either done it and said so, or done nothing. */
const NOTE_DONE = `
UPDATE _prisma_migrations SET finished_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL`;

const HAS_NOTES = `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS found`;

/** Only for the holder of the lock of migrations. */
export async function forgetUnfinished(pool: pg.Pool): Promise<void> {
  if (await hasNotes(pool)) await pool.query(FORGET_UNFINISHED);
}

/** `random` is in [0, 1). */
export async function runScript(pool: pg.Pool, script: string, random: () => number = Math.random): Promise<void> {
  if (APART.test(script.replace(COMMENT, ''))) return runApart(pool, script);
  const note = (await hasNotes(pool)) ? NOTE_DONE : '';
  for (let tries = 1; ; tries += 1) {
    try {
      await inOneTransaction(pool, `${script}\n;${note}`);
      return;
    } catch (error) {
      if (tries === MAX_TRIES || !isPassing(error)) throw error;
      // The others have their turn in between, each pause longer than a quick transaction.
      await sleep(500 + 1_000 * random());
    }
  }
}

/**
 * What goes on beside the traffic may be in no transaction, and may wait for as long as it likes. Such a migration has
 * nothing else in it and begins with `DROP INDEX CONCURRENTLY IF EXISTS`: what ended in the middle left half an index.
 */
async function runApart(pool: pg.Pool, script: string): Promise<void> {
  const statements = script.replace(COMMENT, '').split(';');
  for (const statement of statements.filter((text) => text.trim() !== '')) await pool.query(statement);
}

async function inOneTransaction(pool: pg.Pool, script: string): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    // As it is: a semicolon in a text or in a function ends no statement.
    await client.query(script);
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    // Closing the connection also rolls back.
    client.release(true);
    throw error;
  }
}

async function hasNotes(pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query<{ found: boolean }>(HAS_NOTES);
  return rows[0]?.found === true;
}

function isPassing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && PASSING.has(String(error.code));
}
