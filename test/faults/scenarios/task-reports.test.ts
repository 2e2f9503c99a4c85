/** A worker that is killed while its task streams: what comes after it begins anew, and readers are told so. */
import { describe, expect } from 'vitest';
import { until } from '../../harness/until.ts';
import { openEvents } from '../../support/event-stream.ts';
import { taskOf } from '../../support/expect-answers.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

describe.each(onBothBackendsInProcesses())('a task that streams on $backend', ({ test }) => {
  test('its worker and the API are killed: its progress stays, and the next execution streams from its beginning', async ({
    api,
    processes,
  }) => {
    const door = await processes.start('api');
    const first = await processes.start('worker', ONE_AT_A_TIME);
    const config = { duration: 3, report_steps: 3, stream_chunks: ['a', 'b', 'c'] };
    const run = await api.execute(await api.createWorkflow(workflow([echo('talk', [], config)])));
    const progress = async () => taskOf(await api.execution(run), 'talk')['progress'];
    await until(async () => (await progress()) !== null);
    await first.end('SIGKILL');
    await door.end('SIGKILL');
    await processes.compose('api');
    expect(await progress()).toMatchObject({ message: expect.stringMatching(/^step/) });
    const reader = await openEvents(`${api.url}/workflows/executions/${run}/events`);
    const told = () =>
      reader.all.map(({ event, data }) =>
        event === 'task.output_chunk' ? (data['details'] as { chunk: string }).chunk : event,
      );
    // What has been so far of the execution that was killed.
    await until(() => told().includes('a'));
    await processes.compose('worker', ONE_AT_A_TIME);
    await reader.end();
    // The last one: where the machine is so busy that a lock is lost, there is one execution more.
    const reset = told().lastIndexOf('task.output_reset');
    expect(reset).toBeGreaterThan(0);
    const parts = told()
      .slice(reset)
      .filter((one) => /^[abc]+$/.test(one));
    expect(parts.join('')).toBe('abc');
    expect(taskOf(await api.finished(run), 'talk')).toMatchObject({ status: 'completed', progress: { percent: 100 } });
  });
});
