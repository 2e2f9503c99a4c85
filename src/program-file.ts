import path from 'node:path';
import { projectRoot } from './project-root.ts';

/**
 * Where a program or thread of our own is that is started by its path. `compiled` is its file below dist, where whatever asks
 * was compiled file by file; everybody else is given the bundled one, also a test that runs the sources: neither a thread nor a
 * process of its own could load TypeScript.
 */
export function programFile(compiled: string): string {
  const bundled = import.meta.url.endsWith('.ts') || path.basename(import.meta.dirname) === 'bin';
  return path.join(projectRoot(), 'dist', bundled ? path.join('bin', path.basename(compiled)) : compiled);
}
