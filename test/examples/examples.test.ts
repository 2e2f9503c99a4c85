import { describe, expect } from 'vitest';
import { analyseDocuments } from '../../examples/document-analysis/analyse-documents.ts';
import { assignTasks } from '../../examples/task-assigner/assign-tasks.ts';
import { onBothBackends } from '../support/fixtures.ts';

describe.each(onBothBackends())('the examples on $backend', ({ test }) => {
  test('200 documents go through the workflow and each result equals what is computed directly', async ({ api }) => {
    const lines: string[] = [];
    const { rows, differences } = await analyseDocuments({
      url: api.url,
      apiKey: undefined,
      count: 200,
      folder: 'node_modules',
      say: (line) => lines.push(line),
    });
    expect(differences).toEqual([]);
    expect(rows.filter(({ status }) => status === 'completed')).toHaveLength(200);
    const board = /http\S+\/admin\/queues\/queue\/(\S+)/.exec(lines.join('\n'))?.[1];
    expect((await api.get(`/admin/queues/api/queues/${board}`)).status).toBe(200);
  });

  test('clients of the older task assigner get the results they know', async ({ api }) => {
    const lines: string[] = [];
    expect(await assignTasks({ url: api.url, apiKey: undefined, say: (line) => lines.push(line) })).toBe(true);
    expect(lines.join('\n')).toContain("Task 'approve_batches' successfully assigned");
  });

  test('a service that is not there is one sentence that says what to do', async ({ backend: _ }) => {
    const target = { url: 'http://127.0.0.1:9', apiKey: undefined, say: () => undefined };
    await expect(assignTasks(target)).rejects.toThrow('start the service with `npm start`');
  });
});
