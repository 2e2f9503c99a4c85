/** The drill as somebody runs it who wants to see it, only shorter. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';

async function drill(...options: string[]): Promise<{ code: number | null; said: string }> {
  const program = path.join(projectRoot(), 'drill', 'main.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...options], {
    cwd: projectRoot(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null]; // What the event carries.
  return { code, said };
}

/** The cells of the rows of its tables, by the first one. */
function rowsOf(said: string): Map<string, string[]> {
  const rows = said.split('\n').filter((line) => line.startsWith('| '));
  const cells = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return new Map(cells.map(([first = '', ...rest]) => [first, rest]));
}

const RUNS = 28;

test.each([
  ['redis', ['Redis is wiped', 'Redis is killed and loses its newest writes', 'all workers are killed']],
  ['postgres', ['a worker is killed', 'the API is killed', 'PostgreSQL crashes and restarts']],
])('with the queue in %s nothing is lost and nothing committed twice, whatever is broken', async (backend, faults) => {
  const { code, said } = await drill('--hurried', '--runs', String(RUNS), '--backend', backend);
  expect(code, said).toBe(0);
  const rows = rowsOf(said);
  expect(Object.fromEntries(rows)).toMatchObject({
    '': [`queue in ${backend}, short locks`],
    'runs accepted': [String(RUNS)],
    'runs finished': [String(RUNS)],
    lost: ['0'],
    'committed twice': ['0'],
    'independent check': ['nothing is wrong'],
  });
  for (const fault of faults) expect(rows.get(fault)?.[2], said).toMatch(/^\d+\.\d\d s$/);
});

test('says what it can be told, and what it cannot', async () => {
  expect(await drill('--help')).toMatchObject({ code: 0, said: expect.stringContaining('--backend') });
  expect(await drill('--backend', 'paper')).toMatchObject({ code: 2, said: expect.stringContaining("not 'paper'") });
});
