/** What an event loop that everybody waits for must not do. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';

const IMPORT = /^(?:import|export) (?!type\b)(?:[^'";]* from )?'([^']+)'/gm;

/** Everything that is loaded with this module, by path from the root of the project; packages by name. */
function loadedWith(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const text = readFileSync(path.join(projectRoot(), entry), 'utf8');
  for (const [, from = ''] of text.matchAll(IMPORT)) {
    if (from.startsWith('.')) loadedWith(path.join(path.dirname(entry), from), seen);
    else seen.add(from);
  }
  return seen;
}

test('a worker does not parse on its main loop what its version is the verdict of', () => {
  const worker = loadedWith('src/compose/worker/process.ts');
  expect(worker).toContain('src/expressions/thread-pool.ts');
  expect(worker).toContain('src/engine/deliver/execute-task.ts');
  for (const parser of ['@bufbuild/cel', 'src/expressions/check-cel.ts', 'src/expressions/cel-thread.ts'])
    expect(worker, parser).not.toContain(parser);
  expect(loadedWith('src/expressions/cel-thread.ts')).toContain('@bufbuild/cel');
});
