/** `/ws/task/{id}` of a running service. */
import { describe, expect } from 'vitest';
import { onBothBackends } from '../support/fixtures.ts';
import { openSocket } from '../support/task-socket.ts';
import { echo, workflow } from '../support/test-task.ts';

describe.each(onBothBackends())('a socket of a task on $backend', ({ test }) => {
  test('follows a task, a failing one, a workflow, one that has ended, and what is streamed', async ({ api }) => {
    const params = { duration: 1.5, report_steps: 3, stream_chunks: ['Hel', 'lo'] };
    const task = await api.assign({ task_type: 'test_task', params });
    const bad = await api.assign({ task_type: 'test_task', params: { fail_with: 'no' }, max_attempts: 1 });
    const flow = await api.execute(
      await api.createWorkflow(workflow([echo('a'), echo('b', ['a'], { duration: 1 }), echo('c', ['b'])])),
    );
    const sockets = [task, bad, flow].map((id) => openSocket(`${api.url}/ws/task/${id}`));
    const [ofTask, ofBad, ofFlow] = sockets;
    for (const socket of sockets) expect(await socket.ended()).toBe(1000);

    const states = ofTask?.messages.filter(({ event }) => event === undefined) ?? [];
    expect(states.map(({ status }) => status)).toContain('running');
    expect(states.some(({ progress, message }) => Number(progress) > 0 && /^step/.test(String(message)))).toBe(true);
    expect(states.at(-1)).toMatchObject({ task_id: task, status: 'completed', progress: 100, final: true });
    const said = ofTask?.messages.filter(({ event }) => event === 'task.output_chunk') ?? [];
    expect(said.map(({ chunk }) => chunk).join('')).toBe('Hello');
    expect(ofBad?.messages.at(-1)).toMatchObject({ status: 'failed', message: 'no', final: true });
    expect(ofFlow?.messages.some(({ progress }) => Number(progress) > 33 && Number(progress) < 34)).toBe(true);
    expect(ofFlow?.messages.at(-1)).toMatchObject({ status: 'completed', progress: 100, final: true });

    const late = openSocket(`${api.url}/ws/task/${task}/`);
    expect(await late.ended()).toBe(1000);
    expect(late.messages).toMatchObject([{ status: 'completed', final: true }]);
    expect(await openSocket(`${api.url}/ws/task/${task}`, { headers: { 'x-tenant-id': 'another' } }).ended()).toBe(
      4404,
    );
  });
});
