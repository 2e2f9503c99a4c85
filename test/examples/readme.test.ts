/** What README.md and the guide have to paste into a shell is pasted, page by page: each page stands for itself. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { onBothBackends } from '../support/fixtures.ts';

const run = promisify(execFile);

const TASK = { status: 'completed', result: { processed_batches: 3, approved: 2, rejected: 1 } };

/** What the commands of a page answer, in their order. Events of a stream are looked at apart. */
const ANSWERS: Record<string, object[]> = {
  'README.md': [TASK],
  'docs/guide/single-tasks.md': [TASK],
  'docs/guide/workflows.md': [
    { status: 'completed', result: { total: { total: 52.5 } } },
    { status: 'completed', tasks: [{ action_id: 'order' }, {}, {}, { action_id: 'total', output: { total: 52.5 } }] },
    { dry_run: true, order: ['order', 'tax', 'shipping', 'total'] },
  ],
  'docs/guide/schedules.md': [
    { cron: '0 9 * * 1-5', timezone: 'Europe/Berlin', overlap: 'queue', next_runs: { length: 10 } },
  ],
  'docs/guide/events-and-webhooks.md': [
    { items: [{ event: 'run.started' }, { event: 'task.completed' }, { event: 'run.completed' }] },
    { status: 'completed', result: { ship: { order: 'A1' } } },
  ],
  'docs/guide/approvals-and-signals.md': [
    { action_id: 'review', decision: 'approved' },
    { status: 'completed', result: { pay: { amount: 42 } } },
    { name: 'packed' },
    { status: 'completed', result: { ship: { by: 'anna' } } },
  ],
  // It may still be running when its result is there.
  'docs/guide/sessions.md': [{ result: { status: 'completed', slm_response: { simulated: true } } }],
  'docs/guide/sagas.md': [{ status: 'failed' }, { status: 'compensated' }],
  'docs/guide/external-workers.md': [{ status: 'completed', result: { count: { words: 3 } } }],
};

/** How many tasks complete in the streams of events of a page. */
const STREAMED: Record<string, number> = { 'docs/guide/workflows.md': 4, 'docs/guide/events-and-webhooks.md': 1 };

const PAGES = ['README.md', ...readdirSync('docs/guide').map((name) => `docs/guide/${name}`)].filter(
  (page) => commandsOf(page).length > 0,
);

describe.each(onBothBackends())('the README and the guide on $backend', ({ test }) => {
  test('have the pages with commands of which the answers are known', () => {
    expect(PAGES.sort()).toEqual(Object.keys(ANSWERS).sort());
  });

  test.for(PAGES)('the commands of %s work as pasted, one after the other', async (page, { api }) => {
    const { host } = new URL(api.url);
    const script = commandsOf(page).join('\necho\n').replaceAll('localhost:8000', host);
    const { stdout } = await run('bash', ['-euc', script]);
    const events = [...stdout.matchAll(/^event: (.*)$/gm)].map(([, event]) => event);
    expect(events.filter((event) => event === 'task.completed')).toHaveLength(STREAMED[page] ?? 0);
    if (page in STREAMED) {
      expect(events[0]).toBe('run.started');
      expect(events.at(-1)).toBe('run.completed');
    }
    const answers = stdout
      .split('\n')
      .filter((line) => !/^(?:id|event|data|retry|): /.test(line))
      .join('')
      .split(/(?<=\})(?=\{)/)
      .map((answer): unknown => JSON.parse(answer));
    expect(answers).toMatchObject(ANSWERS[page] ?? []);
  });
});

function commandsOf(page: string): string[] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^```bash\n([\s\S]*?)^```$/gm)];
  return blocks.flatMap(([, block = '']) => (block.includes('curl') ? [block] : []));
}
