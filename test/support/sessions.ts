/** Sessions as a client sees them, and stand-ins for the services that decide about them and issue their tokens. */
import { setTimeout } from 'node:timers/promises';
import { FEATURES } from '../../src/compose/features.ts';
import type { Feature } from '../../src/feature.ts';
import type { TokenRequest } from '../../src/features/identity/issue-token.ts';
import type { PolicyDecision, PolicyRequest } from '../../src/features/policy/domain.ts';
import type { SessionClients } from '../../src/features/sessions/clients.ts';
import { sessionsWith } from '../../src/features/sessions/index.ts';
import type { AnyAdapter } from '../../workers/shipped-adapters.ts';
import { type Answer, accepted, type Client, type Headings } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';

const HELD_MS = 10_000;

export interface Started {
  session_id: string;
  workflow_id: string;
  run_id: string;
}
export type Session = Record<string, unknown> & { status: string };

/** What the policy engine and the identity service say next, and what they were asked. */
export function sessionServices() {
  const policy = { next: undefined as Partial<PolicyDecision> | Error | undefined, requests: [] as PolicyRequest[] };
  const identity = { next: undefined as Error | undefined, requests: [] as TokenRequest[], gate: Promise.resolve() };
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
        // A test that failed releases nobody.
        await Promise.race([identity.gate, setTimeout(HELD_MS, undefined, { ref: false })]);
        if (identity.next !== undefined) throw identity.next;
        return { expires_in: 900, token_type: 'bearer' };
      },
    }),
  };
  return {
    policy,
    identity,
    features: FEATURES.map((one): Feature => (one.name === 'sessions' ? sessionsWith(clients) : one)),
    /** With that action type for Kubernetes jobs, and without the shipped one. */
    featuresWithJobs: (job: AnyAdapter): Feature[] =>
      FEATURES.filter(({ name }) => name !== 'kubernetes').map((one): Feature => {
        if (one.name !== 'sessions') return one;
        const sessions = sessionsWith({ ...clients, jobType: job.type });
        return { ...sessions, adapters: [...(sessions.adapters ?? []), job] };
      }),
    /** Tokens are issued when the returned function is called, and from then on. */
    holdTokens(): () => void {
      let release: () => void = () => undefined;
      identity.gate = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
  };
}

export function sessionBody(fields: object = {}): object {
  return { tenant: 'default', user: 'ada', prompt: 'Summarize the report.', ...fields };
}

export async function startSession(api: Client, fields: object = {}, headers?: Headings): Promise<Started> {
  return accepted(await api.post('/v1/sessions', sessionBody(fields), headers), 202).body as Started;
}

export async function readSession(api: Client, id: string, headers?: Headings): Promise<Session> {
  return accepted(await api.get(`/v1/sessions/${encodeURIComponent(id)}`, headers), 200).body as Session;
}

export function endedSession(api: Client, id: string): Promise<Session> {
  return until(
    async () => {
      const session = await readSession(api, id);
      return session.status === 'running' ? undefined : session;
    },
    { what: `the session ${id} has ended` },
  );
}

export function act(api: Client, id: string, action: string, body?: object, headers?: Headings): Promise<Answer> {
  return api.post(`/v1/sessions/${encodeURIComponent(id)}/actions/${action}`, body, headers);
}

/** What a gateway of models is asked: the last of the messages. */
export function promptIn(body: unknown): string {
  const { messages } = body as { messages: Array<{ content: string }> }; // Of chat completions.
  return messages.at(-1)?.content ?? '';
}

/** As such a gateway answers. */
export function completionOf(text: string, model = 'theirs'): object {
  return { model, choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }] };
}
