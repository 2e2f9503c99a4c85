/** What running tasks say of themselves, through the doors: progress, parts of their output, and silence. */
import { describe, expect } from 'vitest';
import { until } from '../harness/until.ts';
import { openEvents } from '../support/event-stream.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const RETRY = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1 };

describe.each(onBothBackends())('what running tasks say on $backend', ({ test }) => {
  test('is shown while they run, is streamed to readers early and late, and the progress stays', async ({
    api,
    db,
    stack,
  }) => {
    const chunks = ['Hel', 'lo, ', { tool: 'x' }, 'wor', 'ld'];
    const config = { duration: 10, report_steps: 4, stream_chunks: chunks };
    const other = await stack.add('api');
    const run = await api.execute(
      await api.createWorkflow(workflow([echo('talk', [], config), echo('after', ['talk'])])),
    );
    const early = await openEvents(`${api.url}/workflows/executions/${run}/events`);
    await until(async () => /"percent":\d/.test(JSON.stringify(taskOf(await api.execution(run), 'talk')['progress'])));
    expect(taskOf(await api.execution(run), 'talk')).toMatchObject({
      status: 'running',
      progress: {
        percent: expect.any(Number),
        message: expect.stringMatching(/^step \d of 4$/),
        at: expect.any(String),
      },
    });
    await until(() => early.all.some(({ event }) => event === 'task.output_chunk'));
    // Of another process, and in the middle of it.
    const late = await openEvents(`http://127.0.0.1:${other.port}/workflows/executions/${run}/events`);
    await Promise.all([early.end(), late.end()]);
    await other.stop();
    for (const { all: events } of [early, late]) {
      const parts = events
        .filter(({ event }) => event === 'task.output_chunk')
        .map(({ data }) => detailsOf(data)['chunk']);
      const texts = parts.filter((part) => typeof part === 'string').join('');
      expect(texts).toBe('Hello, world');
      expect(parts).toContainEqual({ tool: 'x' });
      // All of it before the end of the task.
      const told = events.map(({ event }) => event);
      expect(told.lastIndexOf('task.output_chunk')).toBeLessThan(told.indexOf('task.completed'));
      expect(told.filter((event) => event === 'task.output_reset')).toEqual([]);
    }
    const percents = early.all.flatMap(({ event, data }) =>
      event === 'task.progress' ? [detailsOf(data)['percent']] : [],
    );
    expect(percents.at(-1)).toBe(100);
    expect(percents).toEqual([...percents].sort((a, b) => Number(a) - Number(b)));
    // They have no id, and are not among the events that are kept.
    expect(early.all.filter(({ event }) => event === 'task.progress').every(({ id }) => Number.isNaN(id))).toBe(true);
    const { rows } = await db.query('SELECT 1 FROM event WHERE run_id = $1 AND kind LIKE $2', [run, 'task.o%']);
    expect(rows).toEqual([]);
    const ended = await api.finished(run);
    expect(taskOf(ended, 'talk')).toMatchObject({ progress: { percent: 100, message: 'step 4 of 4' } });
    expect(taskOf(ended, 'after')).toMatchObject({ progress: null });
  });

  test('a new attempt begins its output anew, and silence fails an attempt', async ({ api }) => {
    const failing = { stream_chunks: ['one', 'two'], duration: 1, fail_with: 'no', fail_attempts: 1 };
    const run = await api.execute(await api.createWorkflow(workflow([echo('talk', [], failing, { retry: RETRY })])));
    const stream = await openEvents(`${api.url}/workflows/executions/${run}/events`);
    const silent = echo('silent', [], { duration: 600 }, { retry: RETRY, heartbeat_timeout_seconds: 0.5 });
    const talking = echo(
      'talking',
      [],
      { duration: 1.5, report_steps: 10 },
      { retry: RETRY, heartbeat_timeout_seconds: 0.7 },
    );
    const quiet = await api.execute(await api.createWorkflow(workflow([silent, talking])));
    await stream.end();
    const told = stream.all.map(({ event, data }) =>
      event === 'task.output_chunk' ? detailsOf(data)['chunk'] : event,
    );
    const reset = told.indexOf('task.output_reset');
    expect(told.indexOf('one')).toBeLessThan(reset);
    expect(told.filter((one) => one === 'task.output_reset')).toHaveLength(1);
    expect(
      told
        .slice(reset)
        .filter((one) => !String(one).includes('.'))
        .join(''),
    ).toBe('onetwo');
    expect(told.slice(-2)).toEqual(['task.completed', 'run.completed']);
    const ended = await api.finished(quiet);
    expect(taskOf(ended, 'silent')).toMatchObject({
      status: 'failed',
      attempts: 2,
      error: { code: 'heartbeat_timeout' },
      attempts_history: [{ error: { code: 'heartbeat_timeout' } }, { error: { code: 'heartbeat_timeout' } }],
    });
    expect(taskOf(ended, 'talking')).toMatchObject({ status: 'completed', attempts: 1 });
  });
});

function detailsOf(data: Record<string, unknown>): Record<string, unknown> {
  return data['details'] as Record<string, unknown>; // As the stream says it.
}
