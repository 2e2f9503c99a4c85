/** Sessions through the API: start, read, and what their execution does. */
import { describe, expect } from 'vitest';
import { FEATURES } from '../../src/compose/features.ts';
import type {
  PolicyDecision,
  PolicyRequest,
  SessionClients,
  TokenRequest,
} from '../../src/features/sessions/clients.ts';
import { sessionsWith } from '../../src/features/sessions/index.ts';
import { type Answer, accepted, type Client, field, type Headings } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

/** What the policy engine says next, and what it was asked. */
const policy = {
  next: undefined as Partial<PolicyDecision> | Error | undefined,
  requests: [] as PolicyRequest[],
};
const identity = { requests: [] as TokenRequest[] };

const clients: SessionClients = {
  policy: () => ({
    async decide(request) {
      policy.requests.push(request);
      if (policy.next instanceof Error) throw policy.next;
      return { allowed: true, score: 0.1, severity: 'low', reasons: {}, failedOpen: false, ...policy.next };
    },
  }),
  identity: () => ({
    async issueToken(request) {
      identity.requests.push(request);
      return { expires_in: 900, token_type: 'bearer' };
    },
  }),
};
const KEY = Buffer.alloc(32, 7).toString('base64');
const features = FEATURES.map((feature) => (feature.name === 'sessions' ? sessionsWith(clients) : feature));
const [onRedis] = onBothBackends({ features, environment: { SECRETS_KEY: KEY } });

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const body = (fields: object = {}) => ({ tenant: 'default', user: 'ada', prompt: 'Summarize the report.', ...fields });

interface Started {
  session_id: string;
  workflow_id: string;
  run_id: string;
}

async function start(api: Client, fields: object = {}, headers?: Headings): Promise<Started> {
  return accepted(await api.post('/v1/sessions', body(fields), headers), 202).body as Started;
}

async function read(api: Client, id: string, headers?: Headings): Promise<Record<string, unknown>> {
  return accepted(await api.get(`/v1/sessions/${encodeURIComponent(id)}`, headers), 200).body as Record<
    string,
    unknown
  >;
}

async function ended(api: Client, id: string): Promise<Record<string, unknown>> {
  return until(async () => {
    const session = await read(api, id);
    return session['status'] === 'running' ? undefined : session;
  });
}

describe.each([onRedis].filter((one) => one !== undefined))('sessions on $backend', ({ test }) => {
  test('one is started under both paths, runs its steps and is read by either of its ids', async ({ api }) => {
    for (const path of ['/v1/sessions', '/v1/sessions/start']) {
      const answer = accepted(await api.post(path, body()), 202);
      const started = answer.body as Started;
      expect(started).toEqual({
        session_id: expect.stringMatching(/^session-[0-9a-f-]{36}$/),
        workflow_id: `session-${started.session_id}`,
        run_id: expect.any(String),
        task_queue: 'somagent.session.workflows',
        status: 'accepted',
      });
      const session = await ended(api, started.session_id);
      expect(session).toEqual({
        session_id: started.session_id,
        workflow_id: started.workflow_id,
        run_id: started.run_id,
        status: 'completed',
        history_length: expect.any(Number),
        result: {
          session_id: started.session_id,
          tenant: 'default',
          user: 'ada',
          status: 'completed',
          policy: { allowed: true, score: 0.1, severity: 'low', reasons: {} },
          token: null,
          slm_response: {
            completion: expect.stringContaining('somagent-demo'),
            prompt_summary: 'Summarize the report.',
            model: 'somagent-demo',
            generated_at: ISO,
            simulated: true,
          },
          audit_event_id: expect.any(String),
          completed_at: ISO,
        },
      });
      expect(session['history_length']).toBeGreaterThan(0);
      expect(await read(api, started.workflow_id)).toEqual(session);
    }
  });
});
