/** The service as a library: started in this process on a database of its own, and as a client of one that runs. */
import { expect, test } from 'vitest';
import { createOrchestrator } from '../../src/library.ts';
import { createTestDatabase } from '../support/servers.ts';
import { echo, workflow } from '../support/test-task.ts';

test('a workflow is made, executed and waited for without a server of its own, and what is wrong is told in words', async () => {
  const database = await createTestDatabase();
  const orchestrator = await createOrchestrator({ databaseUrl: database.url, settings: { NODE_ENV: 'test' } });
  try {
    const made = await orchestrator.createWorkflow(workflow([echo('a', [], { said: '{{params.word}}' })]), 'ada');
    expect(made).toMatchObject({
      success: true,
      message: 'Workflow created',
      workflow: { version: 1, created_by: 'ada' },
    });
    const id = String(made.workflow?.['workflow_id']);
    const begun = await orchestrator.executeWorkflow(id, { word: 'hello' }, 'ada');
    expect(begun).toMatchObject({
      success: true,
      message: 'Workflow execution started',
      execution: { workflow_id: id },
    });

    // Another client of the same service, which takes what it is told by the first.
    const client = await createOrchestrator({ url: orchestrator.url });
    const ended = await client.waitForExecution(String(begun.execution?.['execution_id']), { timeoutSeconds: 50 });
    expect(ended).toMatchObject({ status: 'completed', user_id: 'ada', tasks: [{ output: { said: 'hello' } }] });
    expect(await client.sdk.workflows.run({ id }, { word: 'again' }).result()).toEqual({ a: { said: 'again' } });
    await client.stop();

    expect(await orchestrator.createWorkflow({ name: 'empty' })).toEqual({
      success: false,
      message: expect.stringContaining('actions'),
      errors: [{ path: 'actions', message: expect.any(String) }],
    });
    expect(await orchestrator.executeWorkflow('nobody-knows-it')).toEqual({
      success: false,
      message: 'Workflow not found',
    });
    await expect(orchestrator.waitForExecution('nobody-knows-it')).rejects.toThrow('not found');
    const sleeping = await orchestrator.createWorkflow(
      workflow([{ action_id: 'w', action_type: 'wait', config: { seconds: 600 } }]),
    );
    const asleep = await orchestrator.executeWorkflow(String(sleeping.workflow?.['workflow_id']));
    const waited = orchestrator.waitForExecution(String(asleep.execution?.['execution_id']), { timeoutSeconds: 0.2 });
    await expect(waited).rejects.toThrow('has not ended within 0.2 s');
  } finally {
    await orchestrator.stop();
    await database.drop();
  }
});

test('settings that cannot be are refused before anything is started', async () => {
  const options = {
    databaseUrl: 'postgresql://nobody@127.0.0.1:1/none',
    settings: { PORT: 'high', LOG_LEVEL: 'loud' },
  };
  await expect(createOrchestrator(options)).rejects.toThrow(/PORT[\s\S]*LOG_LEVEL/);
});
