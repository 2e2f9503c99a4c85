import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { onBothBackends } from '../support/fixtures.ts';

const run = promisify(execFile);

describe.each(onBothBackends())('the README on $backend', ({ test }) => {
  test('its commands work as pasted, one after the other', async ({ api }) => {
    const blocks = [...readFileSync('README.md', 'utf8').matchAll(/^```bash\n([\s\S]*?)^```$/gm)];
    const script = blocks.flatMap(([, block = '']) => (block.includes('curl') ? [block] : [])).join('\necho\n');
    const { host } = new URL(api.url);
    const { stdout } = await run('bash', ['-euc', script.replaceAll('localhost:8000', host)]);
    const events = [...stdout.matchAll(/^event: (.*)$/gm)].map(([, event]) => event);
    expect(events[0]).toBe('run.started');
    expect(events.filter((event) => event === 'task.completed')).toHaveLength(4);
    expect(events.at(-1)).toBe('run.completed');
    const answers = stdout
      .split('\n')
      .filter((line) => !/^(?:id|event|data|retry|): /.test(line))
      .join('')
      .split(/(?<=\})(?=\{)/)
      .map((answer): unknown => JSON.parse(answer));
    expect(answers).toMatchObject([
      { status: 'completed', result: { processed_batches: 3, approved: 2, rejected: 1 } },
      { status: 'completed', result: { total: { total: 52.5 } } },
      { status: 'completed', tasks: [{ action_id: 'order' }, {}, {}, { action_id: 'total', output: { total: 52.5 } }] },
      { dry_run: true, order: ['order', 'tax', 'shipping', 'total'] },
      { cron: '0 9 * * 1-5', timezone: 'Europe/Berlin', overlap: 'queue', next_runs: { length: 10 } },
    ]);
  });
});
