/** A policy engine that decides as it is told, over HTTP; like the real one it takes nothing but all six fields. */
import { z } from 'zod';
import { type Reply, type Service, startService } from './service.ts';

const question = z.strictObject({
  session_id: z.string().min(1),
  tenant: z.string(),
  user: z.string(),
  prompt: z.string(),
  role: z.string(),
  metadata: z.record(z.string(), z.unknown()),
});
export type PolicyQuestion = z.output<typeof question>;

export interface PolicyEngine extends Service {
  /** What it was asked, in the native dialect or as the input of OPA. */
  questions(): PolicyQuestion[];
  decide(decision: (question: PolicyQuestion) => object): void;
}

export const ALLOWED = { allowed: true, score: 0.1, severity: 'low', reasons: { constitution_hash: 'c1', policy: [] } };

export function denied(...violations: string[]): object {
  return { allowed: false, score: 0.9, severity: 'high', reasons: { constitution_hash: 'c1', policy: violations } };
}

export async function startPolicyEngine(): Promise<PolicyEngine> {
  const service = await startService();
  const asked = (body: unknown) => question.safeParse((body as { input?: unknown }).input ?? body);
  const decide: PolicyEngine['decide'] = (decision) =>
    service.answer(({ body }): Reply => {
      const { data, error } = asked(body);
      return data === undefined ? { status: 422, body: { detail: error.issues } } : { body: decision(data) };
    });
  decide(() => ALLOWED);
  const questions = () => service.calls.map(({ body }) => question.parse(asked(body).data));
  return { ...service, decide, questions };
}
