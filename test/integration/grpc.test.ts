/** gRPC of a running service: tenants, limits, keys and audit as over HTTP, and streams over the loss of an API process. */
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect } from 'vitest';
import { RetryInfoSchema } from '../../src/features/grpc/generated/google/rpc/error_details_pb.ts';
import {
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/features/grpc/generated/health_pb.ts';
import { ToolService, WorkflowService } from '../../src/features/grpc/generated/orchestrator_pb.ts';
import { openClient } from '../harness/client/client.ts';
import { startProcess } from '../harness/processes/process.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { callOnce } from '../support/rpc-call.ts';
import { METHODS, nameOf, OPERATION_OF } from '../support/rpc-methods.ts';
import { echo, workflow } from '../support/test-task.ts';

const transportTo = (url: string) => createGrpcTransport({ baseUrl: url });

async function failureOf(work: Promise<unknown>): Promise<ConnectError> {
  return work.then(
    () => expect.fail('the call went well'),
    (error: unknown) => ConnectError.from(error),
  );
}

// What a call does is done by the operations of HTTP, which are tested on both.
const [onOne] = onBothBackends();

describe.each([onOne].flatMap((one) => one ?? []))('gRPC on $backend', ({ test }) => {
  test('a call with the ids of another tenant finds nothing and changes nothing, whatever the RPC', async ({ api }) => {
    const owner = openClient(api.url, { 'x-tenant-id': 'a' });
    const signal = { action_id: 'wait', action_type: 'signal', config: { name: 'go' } };
    const flow = await owner.createWorkflow(workflow([signal]));
    const waiting = await owner.execute(flow);
    const task = await owner.assign({ task_type: 'test_task' });
    await owner.ended(task);
    await until(async () => (await owner.execution(waiting)).status === 'waiting', {
      what: 'the signal is waited for',
    });
    const ids = { workflow_id: flow, execution_id: waiting, task_id: task, name: 'go' };
    const before = await owner.execution(waiting);

    const naming = METHODS.filter(({ input }) => input.fields.some(({ name }) => /_id$/.test(name) && name in ids));
    expect(naming.map(({ name }) => name).sort()).toEqual([
      'CancelWorkflow',
      'ExecuteWorkflow',
      'GetToolStatus',
      'GetWorkflowStatus',
      'SignalWorkflow',
      'StreamEvents',
    ]);
    const transport = transportTo(api.url);
    for (const method of naming) {
      const { error, message } = await callOnce(transport, method, ids, { headers: { 'x-tenant-id': 'b' } });
      expect(error?.code, nameOf(method)).toBe(Code.NotFound);
      expect(message, nameOf(method)).toBeUndefined();
    }
    expect(await owner.execution(waiting)).toEqual(before);
    expect((await owner.get('/executions')).body).toMatchObject({ total: 2 });
    // The same calls of the tenant itself go well, the one that ends it last.
    const started: string[] = [];
    const order = ['StreamEvents', 'GetWorkflowStatus', 'GetToolStatus', 'ExecuteWorkflow', 'CancelWorkflow'];
    for (const name of order) {
      const method = naming.find((one) => one.name === name);
      if (method === undefined) throw new Error(`there is no ${name}`);
      const { error, message } = await callOnce(transport, method, ids, { headers: { 'x-tenant-id': 'a' } });
      expect(error, name).toBeUndefined();
      if (name === 'ExecuteWorkflow') started.push(String(message?.['executionId']));
    }
    const again = await owner.execute(flow);
    const send = METHODS.find(({ name }) => name === 'SignalWorkflow');
    if (send === undefined) throw new Error('there is no SignalWorkflow');
    const sent = await callOnce(transport, send, { ...ids, execution_id: again }, { headers: { 'x-tenant-id': 'a' } });
    expect(sent.error).toBeUndefined();
    expect(await owner.finished(again)).toMatchObject({ status: 'completed' });
    for (const id of started) {
      await owner.post(`/workflows/executions/${id}/cancel`);
      await owner.finished(id);
    }
  });

  test('a key is the same over HTTP and gRPC, limits count both, and the audit names the operation', async ({
    stack,
  }) => {
    const key = 'a-key-of-the-test';
    const { port, stop } = await stack.add('api', { API_KEY: key, RATE_LIMIT_PER_MINUTE: '30' });
    const url = `http://127.0.0.1:${port}`;
    const client = openClient(url, { 'x-api-key': key });
    const tools = createClient(ToolService, transportTo(url));
    const headers = { 'x-api-key': key };
    const first = await tools.executeTool({ tool: 'test_task', idempotencyKey: 'once' }, { headers });
    expect(first.replayed).toBe(false);
    const again = await tools.executeTool({ tool: 'test_task', idempotencyKey: 'once' }, { headers });
    expect(again).toMatchObject({ taskId: first.taskId, replayed: true });
    expect(await client.assign({ task_type: 'test_task' }, { 'idempotency-key': 'once' })).toBe(first.taskId);
    const other = tools.executeTool({ tool: 'test_task', paramsJson: '{"a":1}', idempotencyKey: 'once' }, { headers });
    expect((await failureOf(other)).code).toBe(Code.AlreadyExists);
    expect((await failureOf(tools.listTools({}))).code).toBe(Code.Unauthenticated);
    expect((await failureOf(tools.listTools({}, { headers: { authorization: 'Bearer wrong' } }))).code).toBe(
      Code.Unauthenticated,
    );
    expect(await tools.getToolStatus({ taskId: first.taskId, waitSeconds: 20 }, { headers })).toMatchObject({
      status: 'completed',
    });

    await until(
      async () => {
        const { rows } = await stack.db.query<{ action: string }>(
          `SELECT action FROM audit_entry WHERE resource_id = $1`,
          [first.taskId],
        );
        return rows.some(({ action }) => action === OPERATION_OF['orchestrator.v1.ToolService.ExecuteTool']);
      },
      { what: 'the call is audited as the operation that it is' },
    );
    const used = async () => {
      for (let count = 0; count < 40; count += 1) await tools.listTools({}, { headers });
    };
    const limited = await failureOf(used());
    expect(limited.code).toBe(Code.ResourceExhausted);
    expect((await client.get('/action-types')).status).toBe(429);
    await stop();
  });

  test('a reader of events has each of them once although its API process is killed', async ({ api, stack }) => {
    const children = [];
    for (let count = 0; count < 2; count += 1) {
      children.push(await startProcess({ kind: 'api', cwd: stack.folder, settings: stack.environment }));
    }
    const steps = ['a', 'b', 'c', 'd', 'e', 'f'];
    const flow = await api.createWorkflow(
      workflow(steps.map((id, at) => echo(id, at === 0 ? [] : [steps[at - 1] ?? ''], { duration: 0.3 }))),
    );
    const executionId = await api.execute(flow);
    const seen: Array<{ id: string; event: string; action: string }> = [];
    let interrupted = 0;
    for (let attempt = 0; seen.at(-1)?.event !== 'run.completed'; attempt += 1) {
      const child = children[attempt];
      const url = child?.port === undefined ? api.url : `http://127.0.0.1:${child.port}`;
      const events = createClient(WorkflowService, transportTo(url)).streamEvents({
        executionId,
        afterEventId: seen.at(-1)?.id ?? '',
      });
      try {
        for await (const { eventId, event, actionId } of events) {
          if (eventId === '') continue;
          seen.push({ id: eventId, event, action: actionId });
          if (child !== undefined && event === 'task.completed' && seen.length >= 2 * (attempt + 1)) {
            child.signal('SIGKILL');
          }
        }
      } catch (error) {
        expect([Code.Unavailable, Code.Internal, Code.Aborted, Code.Canceled, Code.Unknown]).toContain(
          ConnectError.from(error).code,
        );
        interrupted += 1;
      }
    }
    expect(interrupted).toBe(2);
    expect(seen.map(({ event, action }) => `${event} ${action}`.trim())).toEqual([
      'run.started',
      ...steps.map((id) => `task.completed ${id}`),
      'run.completed',
    ]);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    await Promise.all(children.map((child) => child.ended));
  });

  test('a process that ends says so to who watches its health, and lets readers of events go on elsewhere', async ({
    api,
    stack,
  }) => {
    const child = await startProcess({ kind: 'api', cwd: stack.folder, settings: stack.environment });
    const transport = transportTo(`http://127.0.0.1:${child.port}`);
    const signal = { action_id: 'wait', action_type: 'signal', config: { name: 'go' } };
    const executionId = await api.execute(await api.createWorkflow(workflow([signal])));
    const statuses: number[] = [];
    const watched = (async () => {
      for await (const { status } of createClient(HealthService, transport).watch({})) statuses.push(status);
    })();
    let last = '';
    const read = (async () => {
      const events = createClient(WorkflowService, transport).streamEvents({ executionId });
      for await (const { eventId } of events) last = eventId === '' ? last : eventId;
    })();
    const ended = failureOf(read);
    await until(() => statuses.length > 0 && last !== '', { what: 'both streams are open' });
    expect(await child.end('SIGTERM')).toBe(0);
    await watched;
    expect(statuses).toEqual([Serving.SERVING, Serving.NOT_SERVING]);
    const error = await ended;
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);

    await api.post(`/workflows/executions/${executionId}/signals/go`);
    const rest: string[] = [];
    const resumed = createClient(WorkflowService, transportTo(api.url)).streamEvents({
      executionId,
      afterEventId: last,
    });
    for await (const { eventId, event } of resumed) {
      expect(Number(eventId)).toBeGreaterThan(Number(last));
      rest.push(event);
    }
    expect(rest.at(-1)).toBe('run.completed');
    // A reader that has everything gets nothing more, and no error.
    const done = createClient(WorkflowService, transportTo(api.url));
    const all: string[] = [];
    for await (const { eventId } of done.streamEvents({ executionId })) all.push(eventId);
    for await (const event of done.streamEvents({ executionId, afterEventId: all.at(-1) ?? '' }))
      expect.fail(event.event);
  });
});
