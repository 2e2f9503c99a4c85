/** At least one of everything that a tenant can have, each with a text by which it is known wherever it turns up. */
import type { Client } from '../../harness/client/client.ts';
import { until } from '../../harness/until.ts';
import type { Stack } from '../stack.ts';
import type { Ids } from './requests.ts';

/** In the names of what is planted, by which it can be asked for. */
export const MARK = 'planted-by-a-7f3c';
/** In all that is said, sent and answered: nobody else ever has a reason to say it. */
export const HIDDEN = 'hidden-by-a-9e1d';
const SESSION = 'planted-session-7f3c7f3c7f3c7f3c7f3c';
const TRACE = '7f3c7f3c7f3c7f3c7f3c7f3c7f3c7f3c';

type Fields = Record<string, unknown>;

/** `a`: a client of the tenant for whom it is planted; a worker must be at work. */
export async function plant(stack: Stack, a: Client): Promise<Ids> {
  const fieldsOf = (body: unknown) => body as Fields; // What the contract says is tested elsewhere.
  const made = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const answer = await a.send(method, path, body, headers);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return fieldsOf(answer.body);
  };
  const text = (body: Fields, key: string) => String(body[key]);
  const workflow = async (name: string, actions: object[], more: object = {}) =>
    text(
      await made('POST', '/workflows', {
        name: `${MARK} ${name}`,
        description: HIDDEN,
        tags: [MARK],
        actions,
        ...more,
      }),
      'workflow_id',
    );
  const run = async (workflowId: string, correlation: string) =>
    text(
      await made(
        'POST',
        `/workflows/${workflowId}/execute`,
        { parameters: { note: HIDDEN }, correlation_id: correlation, idempotency_key: `${MARK}-${correlation}` },
        { traceparent: `00-${TRACE}-7f3c7f3c7f3c7f3c-01` },
      ),
      'execution_id',
    );
  const echo = { action_id: 'echo', action_type: 'test_task', config: { note: HIDDEN } };

  await made('POST', '/webhooks', { url: `http://127.0.0.1:9/${HIDDEN}`, events: ['*'], description: HIDDEN });
  const webhooks = fieldsOf((await a.get('/webhooks')).body)['items'] as Fields[]; // A list, as above.
  const webhookId = text(webhooks[0] ?? {}, 'webhook_id');

  const plain = await workflow('plain', [echo]);
  await made('PUT', `/workflows/${plain}`, { description: `${HIDDEN} again` });
  await made('PUT', `/workflows/${plain}/canary`, { version: 1, percent: 10 });
  const finished = await run(plain, `${MARK}-done`);
  await a.finished(finished);

  const asked = await run(
    await workflow('asks', [{ action_id: 'review', action_type: 'approval', config: { message: HIDDEN } }]),
    `${MARK}-asks`,
  );
  const signalled = await run(
    await workflow(
      'waits',
      ['go', 'other'].map((name) => ({ action_id: name, action_type: 'signal', config: { name } })),
    ),
    `${MARK}-waits`,
  );
  await made('POST', `/workflows/executions/${signalled}/signals/other`, { payload: { note: HIDDEN } });
  const failing = {
    action_id: 'boom',
    action_type: 'test_task',
    config: { success_rate: 0 },
    retry: { max_attempts: 1 },
  };
  const undone = { ...echo, compensate: { action_type: 'test_task', config: { undo: HIDDEN } } };
  const saga = await run(await workflow('undone', [undone, { ...failing, depends_on: ['echo'] }]), `${MARK}-saga`);
  const failed = await run(await workflow('fails', [failing]), `${MARK}-fails`);
  const parts = await run(await workflow('parts', [{ ...echo, for_each: { items: [HIDDEN] } }]), `${MARK}-parts`);
  for (const id of [saga, failed, parts]) await a.finished(id);

  const outside = await run(
    await workflow('outside', [
      { action_id: 'out', action_type: 'external', config: { topic: `${MARK}-topic`, input: { note: HIDDEN } } },
    ]),
    `${MARK}-out`,
  );
  const leased = await until(
    async () => {
      const polled = await made('POST', '/tasks/poll', { topic: `${MARK}-topic`, worker_id: MARK, lease_seconds: 600 });
      return (polled['tasks'] as Fields[])[0]; // A list, as above.
    },
    { what: 'the external task is handed out' },
  );
  const simple = await a.assign({ task_type: 'test_task', params: { note: HIDDEN } }, { 'idempotency-key': MARK });
  await a.ended(simple);

  const said = { tenant: 'a', user: HIDDEN, prompt: HIDDEN, metadata: { session_id: SESSION, keep_open: true } };
  const session = await made('POST', '/v1/sessions', said);
  await until(async () => (await made('GET', `/v1/sessions/${SESSION}`))['result'] !== null, {
    what: 'the session waits for messages',
  });
  const directives = [{ agent_id: HIDDEN, prompt: HIDDEN }];
  const mao = await made('POST', '/v1/mao/start', { tenant: 'a', initiator: HIDDEN, directives });
  await a.finished(text(mao, 'run_id'));

  const task = { id: 'echo', handler: 'test_task', inputs: { note: HIDDEN } };
  const flow = await made('POST', '/v1/runs', {
    ...{ flow_id: MARK, tenant_id: 'a', input: { note: HIDDEN }, execution_context: { note: HIDDEN } },
    flow_definition: { id: MARK, version: '1', type: 'DAG', tasks: [task] },
  });
  await a.finished(text(flow, 'run_id'));
  const hooked = await workflow('hooked', [echo], { metadata: { webhook: true } });

  const schedule = await made('POST', '/schedules', {
    name: MARK,
    workflow_id: plain,
    cron: '0 0 1 1 *',
    parameters: { note: HIDDEN },
  });
  await made('POST', '/workflows/templates', { template_name: MARK, workflow_id: plain });
  await made('POST', '/registry/register', {
    name: 'planted_service',
    base_url: `http://127.0.0.1:9/${HIDDEN}`,
    instance_id: MARK,
  });
  await made('POST', '/docstore/save', { id: MARK, content: HIDDEN });
  const event = { specversion: '1.0', id: MARK, source: MARK, type: MARK, data: { note: HIDDEN } };
  await made('POST', '/events', event, { 'content-type': 'application/cloudevents+json' });
  await made('POST', `/workflows/${plain}/pause`, { reason: HIDDEN });
  await stack.db.query(
    `INSERT INTO service_document (tenant_id, service, url, hash, document, operations, title) VALUES ('a', 'planted_service', $1, $1, $2, '[]', $1)`,
    [MARK, { info: { title: HIDDEN } }],
  );
  await stack.db.query(
    `INSERT INTO service_drift (tenant_id, service, cause, hash, added, removed, changed, breaking, operations)
     VALUES ('a', 'planted_service', $1, $1, '[]', '[]', '[]', false, 0)`,
    [MARK],
  );

  // Why a lane is paused is for whoever waits for it; by whom is not.
  await stack.db.query(`INSERT INTO lane_pause (lane, tenant_id, by, reason) VALUES ('transform', 'a', $1, 'repair')`, [
    HIDDEN,
  ]);
  await stack.db.query(`INSERT INTO peer_sent (peer, tenant_id, name, version) VALUES ($1, 'a', $2, 1)`, [
    'http://127.0.0.1:9',
    MARK,
  ]);

  const key = await made('POST', '/api-keys', { name: HIDDEN, roles: ['operator'] });
  await made('PUT', '/secrets/PLANTED', { value: HIDDEN, description: HIDDEN });
  await stack.db.query(
    `INSERT INTO erasure (id, tenant_id, force, status, requested_by, expires_at)
     VALUES ('7f3c-erasure', 'a', false, 'completed', $1, now() + interval '1 day')`,
    [HIDDEN],
  );

  await stack.db.query(
    `INSERT INTO control_operation (id, tenant_id, workflow_id, kind, status, reason, requested_by, total, finished_at, expires_at)
     VALUES ('7f3c-operation', 'a', $1, 'pause', 'completed', $2, $2, 7, now(), now() + interval '1 day')`,
    [plain, HIDDEN],
  );

  await stack.db.query(
    `INSERT INTO login_session (id, tenant_id, user_id, expires_at) VALUES ('7f3c-session', 'a', $1, now() + interval '1 day')`,
    [HIDDEN],
  );

  const delivery = await until(
    async () => ((await made('GET', `/webhooks/${webhookId}/deliveries`))['items'] as Fields[])[0],
    { what: 'there is a delivery' },
  );
  const letter = await until(async () => ((await made('GET', '/infrastructure/dlq'))['items'] as Fields[])[0], {
    what: 'there is a dead letter',
  });
  const group = await until(
    async () => {
      // Two executions have failed, each in its own group; they are counted a moment later.
      const groups = (await made('GET', '/errors'))['items'] as Fields[]; // A list, as above.
      return groups.length >= 2 && groups[0];
    },
    { what: 'the failures are counted' },
  );
  const link = await made('POST', `/workflows/executions/${asked}/approvals/review/links`, { for: MARK });
  // Whoever first reads events numbers them: that is no change that another tenant brings about.
  const executions = [finished, asked, failed, saga, parts, outside, signalled];
  for (const id of executions) await a.get(`/workflows/executions/${id}/events`, { accept: 'application/json' });

  return {
    execution_id: executions,
    parent: [finished],
    'listExecutionParts.of': ['echo'],
    workflow_id: [plain],
    task_id: [simple, finished, text(leased, 'task_id')],
    lease_token: [text(leased, 'lease_token')],
    topic: [`${MARK}-topic`],
    session_id: ['7f3c-session'],
    'getSession.session_id': [SESSION, text(session, 'workflow_id')],
    'actOnSession.session_id': [SESSION],
    'getMao.id': [text(mao, 'workflow_id'), text(mao, 'run_id')],
    run_id: [text(flow, 'run_id')],
    'getTaskInputs.task_id': ['echo'],
    'receiveFlowWebhook.webhook_id': [hooked, `${MARK} hooked`],
    api_key_id: [text(key, 'api_key_id')],
    'getSecret.name': ['PLANTED'],
    'deleteSecret.name': ['PLANTED'],
    'putSecret.name': ['PLANTED'],
    tenant_id: ['a'],
    erasure_id: ['7f3c-erasure'],
    operation_id: ['7f3c-operation'],
    schedule_id: [text(schedule, 'schedule_id')],
    webhook_id: [webhookId],
    delivery_id: [text(delivery, 'delivery_id')],
    template_name: [MARK],
    'getRegisteredService.name': ['planted_service'],
    'removeService.name': ['planted_service'],
    'getServiceDocument.name': ['planted_service'],
    'listServiceOperations.name': ['planted_service'],
    'listServiceDrift.name': ['planted_service'],
    service_name: ['planted_service'],
    document_id: [MARK],
    saga_id: [saga],
    event_id: [text(letter, 'event_id')],
    fingerprint: [text(group, 'fingerprint')],
    trace_id: [TRACE],
    correlation_id: [`${MARK}-done`],
    subject_id: [plain],
    idempotency_key: [MARK],
    resource: [plain, finished],
    tag: [MARK],
    q: [MARK],
    name_contains: [MARK],
    token: [
      String(text(link, Object.keys(link).find((key) => key.includes('approve')) ?? 'url'))
        .split('/')
        .pop() ?? '',
    ],
  };
}
