/**
 * Copies of the built program in which one protection is off: proof that the independent check sees what the protection
 * prevents. A mutation is a change of the compiled text that must fit exactly once, so that none is lost when code moves.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../../src/project-root.ts';

export interface Edit {
  /** Below dist/src. */
  file: string;
  find: string;
  replace: string;
}

/** A folder like the project's, with the edited dist/ in it. */
export async function makeMutant(edits: readonly Edit[]): Promise<{ root: string; remove(): Promise<void> }> {
  const from = projectRoot();
  const root = await mkdtemp(path.join(tmpdir(), 'mutant-'));
  const remove = () => rm(root, { recursive: true, force: true });
  try {
    await mkdir(path.join(root, 'dist'));
    for (const part of ['src', 'workers']) {
      await cp(path.join(from, 'dist', part), path.join(root, 'dist', part), { recursive: true });
    }
    for (const name of await readdir(from)) {
      if (name !== 'dist' && !name.startsWith('.')) await symlink(path.join(from, name), path.join(root, name));
    }
    for (const { file, find, replace } of edits) {
      const target = path.join(root, 'dist', 'src', file);
      await writeFile(target, replaceOnce(await readFile(target, 'utf8'), find, replace, file));
    }
    return { root, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Throws when an edit does not fit the program as it is built now. */
export async function expectFit(edits: readonly Edit[]): Promise<void> {
  for (const { file, find, replace } of edits) {
    replaceOnce(await readFile(path.join(projectRoot(), 'dist', 'src', file), 'utf8'), find, replace, file);
  }
}

export function replaceOnce(text: string, find: string, replace: string, where: string): string {
  const parts = text.split(find);
  if (parts.length !== 2) throw new Error(`'${find}' fits ${parts.length - 1} times in ${where} instead of once`);
  return parts.join(replace);
}
