/**
 * What deleting a feature takes, asked of the compiler: in a copy of the sources the folder of a feature and its line in the
 * list are taken away, and what does not compile then is compared with who is known to name it. Tests are not compiled: those
 * of a feature go with it.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

/** Where the one list of features is. */
export const LIST = 'src/compose/features.ts';
const FEATURES = 'src/features';
/** What `tsconfig.build.json` compiles, and what that takes. */
const COPIED = ['src', 'workers', 'examples', 'sdk', 'tsconfig.json', 'tsconfig.build.json', 'package.json'];
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** By feature: the rooms and other features that name it. */
export type NamedBy = Readonly<Record<string, readonly string[]>>;

/**
 * Rooms and other features that name one: whoever deletes it takes these imports away too. A feature that is not here goes
 * with its folder and its line. The list may get shorter.
 */
export const NAMED_BY: NamedBy = {
  approvals: ['manual-completion', 'sessions', 'signals'],
  audit: ['bin', 'sessions'],
  'external-workers': ['flow-runner'],
  events: ['failures', 'platform', 'service-apis', 'services', 'webhooks'],
  identity: ['sessions'],
  peers: ['diagnosis'],
  platform: ['service-apis'],
  policy: ['sessions'],
  'run-logs': ['external-workers'],
  services: ['diagnosis', 'peers', 'service-apis'],
  signals: ['approvals', 'events', 'sessions'],
  tracing: ['compose'],
  webhooks: ['events'],
};

export interface Deletion {
  feature: string;
  /** The rooms in which something does not compile without it. */
  rooms: readonly string[];
  /** What the compiler says in rooms that are not known to name it. */
  unexpected: readonly string[];
  /** Rooms that are known to name it, and compile without it. */
  unneeded: readonly string[];
}

interface CompilerError {
  file: string;
  line: string;
}

/** The room of the trunk or the feature that a file belongs to. */
export function roomOf(file: string): string {
  const [top = '', room = '', feature = ''] = file.split('/');
  if (top !== 'src') return top;
  return room === 'features' ? feature : room;
}

/** A place where features are deleted, one at a time. */
interface Copy {
  /** Whose compiler compiles it. */
  root: string;
  folder: string;
  /** What the compiler knows of the whole saves it most of the work. Its paths start where it is. */
  known: string;
}

/** Deletes each feature by itself, in as many copies at once as there are cores. `root` has to compile as it is. */
export async function tryDeletions(root: string, namedBy: NamedBy): Promise<Deletion[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'deletions-'));
  try {
    const first: Copy = { root, folder: path.join(folder, '0'), known: path.join(folder, '0/whole.tsbuildinfo') };
    await makeCopy(first);
    const [fault] = await compile(first, first.known);
    if (fault !== undefined) throw new Error(`it does not compile as it is: ${fault.line}`);
    const features = (await readdir(path.join(first.folder, FEATURES))).sort();
    const deletions = new Map<string, Deletion>();
    const open = features.values();
    const work = Array.from({ length: availableParallelism() }, async (_, number) => {
      const copy = { ...first, folder: path.join(folder, String(number)) };
      if (number > 0) await makeCopy(copy);
      for (const feature of open) deletions.set(feature, await tryDeletion(copy, feature, namedBy[feature] ?? []));
    });
    const ends = await Promise.allSettled(work);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return features.flatMap((feature) => deletions.get(feature) ?? []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeCopy({ root, folder }: Copy): Promise<void> {
  for (const name of COPIED) await cp(path.join(root, name), path.join(folder, name), { recursive: true });
  await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
}

async function tryDeletion(copy: Copy, feature: string, expected: readonly string[]): Promise<Deletion> {
  const info = path.join(copy.folder, 'without.tsbuildinfo');
  await cp(copy.known, info);
  return compare(feature, await without(copy.folder, feature, () => compile(copy, info)), expected);
}

function compare(feature: string, errors: readonly CompilerError[], expected: readonly string[]): Deletion {
  const rooms = [...new Set(errors.map(({ file }) => roomOf(file)))].sort();
  return {
    feature,
    rooms,
    unexpected: errors.filter(({ file }) => !expected.includes(roomOf(file))).map(({ line }) => line),
    unneeded: expected.filter((room) => !rooms.includes(room)),
  };
}

/** Takes the folder and the lines of the feature away meanwhile. */
async function without<Result>(copy: string, feature: string, work: () => Promise<Result>): Promise<Result> {
  const list = path.join(copy, LIST);
  const folder = path.join(copy, FEATURES, feature);
  const aside = path.join(copy, 'deleted');
  const text = await readFile(list, 'utf8');
  await writeFile(list, unlisted(text, feature));
  await rename(folder, aside);
  try {
    return await work();
  } finally {
    await rename(aside, folder);
    await writeFile(list, text);
  }
}

function unlisted(list: string, feature: string): string {
  const line = new RegExp(`^import \\{ (\\w+) \\} from '\\.\\./features/${feature}/index\\.ts';\n`, 'm');
  const name = line.exec(list)?.[1];
  if (name === undefined) throw new Error(`${LIST} has no line for ${feature}`);
  return list.replace(line, '').replace(new RegExp(`^ +${name},\n`, 'm'), '');
}

async function compile({ root, folder }: Copy, info: string): Promise<CompilerError[]> {
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
  // Several checkers of one compiler each check again what they have in common: together they take twice the time of one.
  const options = ['--noEmit', '--pretty', 'false', '-p', 'tsconfig.build.json', '--checkers', '1'];
  const run = promisify(execFile)(process.execPath, [compiler, ...options, '--tsBuildInfoFile', info], {
    cwd: folder,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const { stdout, failed } = await run.then(
    (end) => ({ ...end, failed: false }),
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? '', failed: true }),
  );
  const errors = stdout.split('\n').flatMap((line) => {
    const file = /^(\S+)\(\d+,\d+\): error /.exec(line)?.[1];
    return file === undefined ? [] : [{ file, line }];
  });
  if (failed && errors.length === 0) throw new Error(`the compiler fails: ${stdout}`);
  return errors;
}
