/** One supervisor per data folder. The lock is a file that names its holder, so that a killed one leaves nothing to clean up. */
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { birthOf, isAlive } from './processes.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/** `born` tells this process from a later one with the same number. */
const holderSchema = z.object({ pid: z.int(), born: z.string().optional() });
type Holder = z.infer<typeof holderSchema>;

const TRIES = 20;

export async function lockFolder(folder: string): Promise<FolderLock> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, 'lock');
  const own = path.join(folder, `.lock-${process.pid}`);
  const born = await birthOf(process.pid);
  const text = JSON.stringify({ pid: process.pid, born });
  await writeFile(own, text);
  try {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      // A link comes into being whole or not at all, and never replaces another.
      if (await tryLink(own, file)) return { release: () => releaseIfOurs(file, text) };
      const found = await readFile(file, 'utf8').catch(() => undefined);
      if (found === undefined) continue; // Released between the two.
      const holder = parse(found);
      if (holder !== undefined && (await isHeld(holder))) {
        throw new Error(
          `The data folder ${folder} is in use by another start, process ${holder.pid}: stop that one first, or set another DATA_DIR.`,
        );
      }
      await removeStale(file, found);
    }
  } finally {
    await rm(own, { force: true });
  }
  throw new Error(`The lock ${file} could not be taken.`);
}

async function isHeld(holder: Holder): Promise<boolean> {
  if (!isAlive(holder.pid)) return false;
  return holder.born === undefined || holder.born === (await birthOf(holder.pid));
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Two starts may find the same stale lock; the slower one must not take away what the faster one has put there since. */
async function removeStale(file: string, stale: string): Promise<void> {
  const aside = `${file}.${process.pid}.stale`;
  try {
    await rename(file, aside);
  } catch {
    return; // Another start has removed it.
  }
  if ((await readFile(aside, 'utf8')) !== stale) await tryLink(aside, file);
  await rm(aside, { force: true });
}

async function releaseIfOurs(file: string, text: string): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => undefined)) === text) await rm(file, { force: true });
}

function parse(text: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // Cut short by a full disk: nobody's.
  }
}
