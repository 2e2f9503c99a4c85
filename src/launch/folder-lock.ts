/**
 * One supervisor per data folder, also after a kill -9, which leaves nothing to clean up.
 *
 * `<folder>/locks/` has numbered files, each naming a process; the one with the highest number is the lock holder. A process that
 * finds that holder gone creates the file with the next number, which the file system lets only one process do. A stale file is
 * never taken away to make room: of two starts that find it, the slower one could take away what the faster one has put there.
 * For the same reason a release does not remove the file but writes that it is free, so that numbers only grow.
 */
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { birthOf, isAlive } from './processes.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/** `born` distinguishes a process from a later one with the same pid. */
const holderSchema = z.object({ pid: z.int(), born: z.string().optional(), free: z.boolean().default(false) });
type Holder = z.infer<typeof holderSchema>;

const TRIES = 50;
/** Older files that stay, so that a listing under way cannot miss both the last one and the one that follows it. */
const RETAINED = 8;

export async function lockFolder(folder: string): Promise<FolderLock> {
  const locks = path.join(folder, 'locks');
  await mkdir(locks, { recursive: true });
  const self = { pid: process.pid, born: await birthOf(process.pid) };
  const draft = path.join(locks, `.${process.pid}.${Math.random().toString(36).slice(2)}`);
  const fileOf = (number: number) => path.join(locks, String(number));
  await writeFile(draft, JSON.stringify(self));
  try {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const last = await highest(locks);
      const holder = last === 0 ? undefined : await readHolder(fileOf(last));
      if (holder !== undefined && (await isHeld(holder))) {
        throw new Error(
          `The data folder ${folder} is in use by another start, process ${holder.pid}: stop that one first, or set another DATA_DIR.`,
        );
      }
      const own = last + 1;
      if (!(await tryLink(draft, fileOf(own)))) continue; // Another start was faster.
      if ((await highest(locks)) !== own) {
        // The listing was old: this number had been used and deleted, and another process is ahead.
        await rm(fileOf(own), { force: true });
        continue;
      }
      for (let number = own - RETAINED; number > 0 && number > own - 2 * RETAINED; number -= 1)
        await rm(fileOf(number), { force: true });
      return {
        async release() {
          await writeFile(draft, JSON.stringify({ ...self, free: true }));
          await rename(draft, fileOf(own));
        },
      };
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new Error(`No lock could be taken in ${locks}.`);
}

async function isHeld(holder: Holder): Promise<boolean> {
  if (holder.free || !isAlive(holder.pid)) return false;
  return holder.born === undefined || holder.born === (await birthOf(holder.pid));
}

async function highest(locks: string): Promise<number> {
  const numbers = (await readdir(locks)).filter((name) => /^\d+$/.test(name)).map(Number);
  return Math.max(0, ...numbers);
}

/** Undefined: the file was truncated by a full disk or deleted by a process that is ahead. */
async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return holderSchema.safeParse(JSON.parse(await readFile(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** A link is created atomically and never replaces another file. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
