/** The messages of the audit of sessions: one for each session, in the transaction of its entry. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../harness/until.ts';
import { type FlowKafka, openFlowKafka } from '../support/flow-kafka.ts';
import { endedSession, sessionBody, sessionServices, startSession } from '../support/sessions.ts';

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const { policy, features } = sessionServices();
let flow: FlowKafka;

beforeAll(async () => {
  flow = await openFlowKafka({ SECRETS_KEY: Buffer.alloc(32, 7).toString('base64') }, { features });
});

afterAll(() => flow.close());

async function auditOf(sessionId: string) {
  const [message] = await until(async () => {
    const all = await flow.kafka.read('agent.audit');
    const own = all.filter(({ key }) => key === sessionId);
    return own.length > 0 && own;
  });
  return JSON.parse(String(message?.value));
}

test('an accepted and a rejected session each have their message, with the token’s claims and without the token', async () => {
  const { api } = flow.stack;
  const accepted = await startSession(api, sessionBody());
  const session = await endedSession(api, accepted.session_id);
  expect(await auditOf(accepted.session_id)).toEqual({
    audit_id: (session['result'] as { audit_event_id: string }).audit_event_id,
    ...{ emitted_at: ISO, session_id: accepted.session_id, tenant: 'default', user: 'ada', status: 'accepted' },
    execution_id: accepted.run_id,
    policy: { allowed: true, score: 0.1, severity: 'low', reasons: {} },
    token: { expires_in: 900, token_type: 'bearer' },
    volcano_job: null,
  });
  policy.next = { allowed: false, severity: 'high' };
  const denied = await startSession(api, sessionBody());
  await endedSession(api, denied.session_id);
  expect(await auditOf(denied.session_id)).toMatchObject({ status: 'rejected', token: null });
  const all = await flow.kafka.read('agent.audit');
  expect(all.length).toBe(2);
});
