/** What calls send, and what becomes of the answers of the operations behind them. */
import { create, fromJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPEN_ACCESS } from '../../../../src/domain/access.ts';
import { allErrorCodes, describe as describeCode, OrchestratorError } from '../../../../src/domain/errors.ts';
import { STATUS, statusOf } from '../../../../src/features/grpc/domain.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../../../src/features/grpc/generated/google/rpc/error_details_pb.ts';
import { Health } from '../../../../src/features/grpc/generated/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../../../src/features/grpc/generated/grpc/reflection/v1/reflection_pb.ts';
import {
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../../src/features/grpc/generated/health_pb.ts';
import { InfoService } from '../../../../src/features/grpc/generated/info_pb.ts';
import { ToolService, WorkflowService } from '../../../../src/features/grpc/generated/orchestrator_pb.ts';
import { FILES } from '../../../../src/features/grpc/router.ts';
import { clientAddress } from '../../../../src/http/middleware/client-address.ts';
import { createStreamSlots } from '../../../../src/http/middleware/stream-slots.ts';
import { MAX_WATCHERS, openRpcServer, type RpcServer } from '../../../support/rpc-server.ts';

const LIMITS = { addressOf: clientAddress(0), requests: undefined, failures: undefined };

let server: RpcServer;
beforeAll(async () => {
  server = await openRpcServer({ buildTime: '2026-01-31T12:00:00.000Z', commitSha: 'abc123' });
});
afterAll(() => server.close());

async function failureOf(work: Promise<unknown>): Promise<ConnectError> {
  return work.then(
    () => expect.fail('the call went well'),
    (error: unknown) => ConnectError.from(error),
  );
}

describe('the status of an error', () => {
  const tools = () => createClient(ToolService, server.transport);

  test.each(allErrorCodes())('%s is the one that its HTTP status has, with its code as the reason', async (code) => {
    const { status } = describeCode(code);
    server.failWith(new OrchestratorError(code, 'what happened', { errors: [{ path: 'a.b', message: 'is wrong' }] }));
    const error = await failureOf(tools().executeTool({ tool: 'test_task' }));
    expect(error.code).toBe(statusOf(status, code));
    expect(error.rawMessage).toBe('what happened');
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: code, domain: 'orchestrator' }]);
    const retried = status === 429 || status === 503;
    expect(error.findDetails(RetryInfoSchema).map(({ retryDelay }) => retryDelay?.seconds)).toEqual(
      retried ? [2n] : [],
    );
    const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
    if (status === 400 || status === 422) {
      expect(violations).toMatchObject([{ field: 'a.b', description: 'is wrong' }]);
    } else if (error.code !== Code.InvalidArgument) expect(violations).toEqual([]);
  });

  test('a reused key exists already, and every other conflict is a precondition', () => {
    expect(statusOf(409, 'idempotency_conflict')).toBe(STATUS.alreadyExists);
    expect(statusOf(409, 'already_final')).toBe(STATUS.failedPrecondition);
    expect([400, 422, 401, 403, 404, 412, 413, 429, 503].map((status) => statusOf(status, ''))).toEqual([
      ...[STATUS.invalidArgument, STATUS.invalidArgument, STATUS.unauthenticated, STATUS.permissionDenied],
      ...[STATUS.notFound, STATUS.failedPrecondition, STATUS.resourceExhausted, STATUS.resourceExhausted],
      STATUS.unavailable,
    ]);
  });

  test('an error reaches clients of gRPC-Web and Connect with its details too', async () => {
    const options = { baseUrl: server.url, httpVersion: '1.1' as const };
    for (const transport of [createGrpcWebTransport(options), createConnectTransport(options)]) {
      server.failWith(new OrchestratorError('rate_limited', 'too many', { retryAfterSeconds: 7 }));
      const error = await failureOf(createClient(ToolService, transport).executeTool({ tool: 'test_task' }));
      expect(error.code).toBe(Code.ResourceExhausted);
      expect(error.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 7n } }]);
    }
  });
});

describe('a call', () => {
  test('has the identity, the ids and the key that its metadata say', async () => {
    const headers = {
      ...{ 'x-user-id': 'anna', 'x-tenant-id': 'acme', 'x-correlation-id': 'order-7' },
      'idempotency-key': 'key-1',
    };
    let ids: Headers | undefined;
    const answer = await createClient(ToolService, server.transport).executeTool(
      { requestId: 'request-1', tool: 'test_task', paramsJson: '{"amount":0.1}', priority: 7 },
      {
        headers,
        onHeader: (sent) => {
          ids = sent;
        },
      },
    );
    expect(answer).toMatchObject({ success: true, responseId: 'request-1', status: 'assigned' });
    expect(ids?.get('x-correlation-id')).toBe('order-7');
    expect(server.asked.tasks.at(-1)).toMatchObject({
      caller: { userId: 'anna', tenantId: 'acme', correlationId: 'order-7' },
      request: { task_type: 'test_task', params: { amount: 0.1 }, priority: 7 },
      key: 'key-1',
    });
  });

  test('takes JSON as a value or as text, and rejects both together and what is no JSON', async () => {
    const workflows = createClient(WorkflowService, server.transport);
    const parameters = fromJson(ValueSchema, { a: [1, null, 'x'] });
    await workflows.executeWorkflow({ workflowId: 'w', parameters });
    expect(server.asked.executions.at(-1)?.parameters).toEqual({ a: [1, null, 'x'] });
    for (const bad of [
      { parameters, parametersJson: '{}' },
      { parametersJson: '{' },
      { parametersJson: '{}} ,"priority":1' },
      { parameters: create(ValueSchema) },
      { parameters: create(ValueSchema, { kind: { case: 'numberValue', value: Number.NaN } }) },
      { workflowId: '' },
    ]) {
      const error = await failureOf(workflows.executeWorkflow({ workflowId: 'w', ...bad }));
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.findDetails(BadRequestSchema)).toHaveLength(1);
    }
  });

  test('with two keys that differ is rejected, and an id is never more than one part of a path', async () => {
    const tools = createClient(ToolService, server.transport);
    const headers = { 'idempotency-key': 'one' };
    const error = await failureOf(tools.executeTool({ tool: 'test_task', idempotencyKey: 'two' }, { headers }));
    expect(error.code).toBe(Code.InvalidArgument);
    for (const taskId of ['../info', 'x/../../info', '..', '?wait=1', '%2e%2e/info'])
      expect((await failureOf(tools.getToolStatus({ taskId }))).code).toBe(Code.NotFound);
  });

  test('that nobody waits for any longer ends with its deadline', async () => {
    let stopped: (() => void) | undefined;
    server.results.set('slow', {
      id: 'slow',
      status: 'running',
      final: false,
      attempts: 1,
      changedAt: new Date(),
    } as never);
    server.onWait.call = () => new Promise((resolve) => (stopped = () => resolve(false)));
    const call = createClient(ToolService, server.transport).getToolStatus(
      { taskId: 'slow', waitSeconds: 20 },
      { timeoutMs: 300 },
    );
    expect((await failureOf(call)).code).toBe(Code.DeadlineExceeded);
    stopped?.();
  });

  test('of InfoService says what GET /info says', async () => {
    const info = await createClient(InfoService, server.transport).getInfo({});
    expect(info).toMatchObject({ serviceName: 'orchestrator', version: '9.9.9', commitSha: 'abc123' });
    expect(info.buildTime?.seconds).toBe(BigInt(Date.parse('2026-01-31T12:00:00Z') / 1000));
    expect(info.metadata['capabilities']).toContain('workflows');
  });

  test('of a service or method that is not served is UNIMPLEMENTED, and over HTTP not found', async () => {
    const path = '/orchestrator.v1.WorkflowService/DeleteEverything';
    const answer = await server.fetch(path, { method: 'POST', headers: { 'content-type': 'application/grpc' } });
    expect(answer.headers.get('grpc-status')).toBe('12');
    expect((await server.post(path, {})).status).toBe(404);
  });
});

describe('a health check', () => {
  const ours = () => createClient(HealthService, server.transport);
  const standard = () => createClient(Health, server.transport);

  test('knows the service as a whole and each of its services', async () => {
    const services = FILES.flatMap((file) => file.services.map(({ typeName }) => typeName));
    for (const service of ['', 'orchestrator', ...services]) {
      expect((await ours().check({ service })).status).toBe(Serving.SERVING);
      expect((await standard().check({ service })).status).toBe(1);
    }
    expect((await ours().check({ service: 'another' })).status).toBe(Serving.SERVICE_UNKNOWN);
    expect((await failureOf(standard().check({ service: 'another' }))).code).toBe(Code.NotFound);
  });

  test('is sent when it changes, and NOT_SERVING while the process is drained', async () => {
    const own = await openRpcServer();
    const seen: Serving[] = [];
    const watching = (async () => {
      for await (const { status } of createClient(HealthService, own.transport).watch({})) {
        seen.push(status);
        if (seen.length === 1) own.health.database = false;
        if (seen.length === 2) own.health.database = true;
        if (seen.length === 3) own.drain();
      }
    })();
    const unknown = createClient(Health, own.transport).watch({ service: 'another' })[Symbol.asyncIterator]();
    expect((await unknown.next()).value).toMatchObject({ status: 3 });
    await watching;
    expect(seen).toEqual([Serving.SERVING, Serving.NOT_SERVING, Serving.SERVING, Serving.NOT_SERVING]);
    expect(await unknown.next()).toMatchObject({ done: true });
    expect((await createClient(HealthService, own.transport).check({})).status).toBe(Serving.NOT_SERVING);
    await own.close();
  });

  test('is watched by so many from one address and no more, until one of them leaves', async () => {
    const leave = new AbortController();
    const open = async (signal?: AbortSignal) => {
      const stream = ours()
        .watch({}, { signal: signal ?? leave.signal })
        [Symbol.asyncIterator]();
      await stream.next();
    };
    const first = new AbortController();
    await open(first.signal);
    for (let count = 1; count < MAX_WATCHERS; count += 1) await open();
    expect((await failureOf(open())).code).toBe(Code.ResourceExhausted);
    first.abort();
    await expect
      .poll(
        () =>
          open().then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true);
    leave.abort();
  });
});

test('a stream of events whose credentials are revoked ends as UNAUTHENTICATED, and one without a slot as RESOURCE_EXHAUSTED', async () => {
  let valid = true;
  const own = await openRpcServer(
    { streams: { credentialsMs: 20 } },
    {
      identify: (_request, context) =>
        valid
          ? { caller: { tenantId: 'default', userId: 'anna', ...context }, access: OPEN_ACCESS }
          : { detail: 'The credentials are not valid', why: 'unknown_key', presented: true },
      events: {
        async follow({ start, signal }: { start(): void; signal: AbortSignal }) {
          start();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          return 'ended';
        },
      } as never,
      limits: { ...LIMITS, streams: createStreamSlots(1) },
    },
  );
  const workflows = createClient(WorkflowService, own.transport);
  const read = async () => {
    for await (const event of workflows.streamEvents({ executionId: 'x' })) expect.fail(event.event);
  };
  const first = failureOf(read());
  const second = await failureOf(read());
  expect(second.code).toBe(Code.ResourceExhausted);
  valid = false;
  const ended = await first;
  expect([ended.code, second.findDetails(RetryInfoSchema).length]).toEqual([Code.Unauthenticated, 1]);
  expect(ended.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'unauthorized' }]);
  await own.close();
});

test('reflection lists the services, and has every file with what it imports', async () => {
  const reflect = async (messageRequest: object) => {
    const requests = (async function* () {
      yield { messageRequest } as never;
    })();
    for await (const { messageResponse } of createClient(ServerReflection, server.transport).serverReflectionInfo(
      requests,
    ))
      return messageResponse;
    return expect.fail('there was no response');
  };
  const listed = await reflect({ case: 'listServices', value: '' });
  const services = FILES.flatMap((file) => file.services.map(({ typeName }) => typeName)).sort();
  expect(listed).toMatchObject({
    case: 'listServicesResponse',
    value: { service: services.map((name) => ({ name })) },
  });
  for (const value of [
    'orchestrator.v1.WorkflowService.StreamEvents',
    'orchestrator.v1.Tool.config_schema',
    ...services,
  ]) {
    const found = await reflect({ case: 'fileContainingSymbol', value });
    expect(found.case, value).toBe('fileDescriptorResponse');
  }
  const file = await reflect({ case: 'fileByFilename', value: 'orchestrator.proto' });
  // With Value and Timestamp.
  expect(file.value).toMatchObject({ fileDescriptorProto: { length: 3 } });
  expect(await reflect({ case: 'fileByFilename', value: 'another.proto' })).toMatchObject({ case: 'errorResponse' });
});

test('a page of another origin may call, where CORS lets it, and read the status', async () => {
  const own = await openRpcServer({ corsOrigins: ['https://app.example'] });
  const path = '/orchestrator.health.v1.HealthService/Check';
  const origin = 'https://app.example';
  const preflight = await own.fetch(path, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-grpc-web' },
  });
  expect(preflight.status).toBe(204);
  for (const name of ['x-grpc-web', 'x-user-agent', 'grpc-timeout', 'connect-protocol-version', 'connect-timeout-ms'])
    expect(preflight.headers.get('access-control-allow-headers')).toContain(name);
  const call = (from: string) =>
    own.fetch(path, { method: 'POST', body: '{}', headers: { origin: from, 'content-type': 'application/json' } });
  const allowed = await call(origin);
  expect(await allowed.json()).toEqual({ status: 'SERVING' });
  expect(allowed.headers.get('access-control-allow-origin')).toBe(origin);
  for (const name of ['grpc-status', 'grpc-message', 'grpc-status-details-bin'])
    expect(allowed.headers.get('access-control-expose-headers')).toContain(name);
  expect((await call('https://other.example')).headers.get('access-control-allow-origin')).toBeNull();
  await own.close();
});
