/** What the steps of a session do. Each may be delivered again: services get the idempotency key of its task. */
import { type AdapterContext, NonRetryableError } from '../../../workers/adapter.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { promptSummary } from './domain.ts';
import { type RecordedDecision, type SessionParameters, sessionParameters } from './parameters.ts';

export interface GivenOutputs {
  approval?: Json | undefined;
  job?: Json | undefined;
  token?: Json | undefined;
  completion?: Json | undefined;
}

type Step = (context: AdapterContext, given: GivenOutputs) => Promise<Json>;
export type StepsOfSession = Readonly<Record<'token' | 'completion' | 'memory' | 'audit' | 'round', Step>>;

export interface StepDeps {
  newId(): string;
}

export function stepsOfSession(deps: StepDeps): StepsOfSession {
  return {
    token: async () => null,
    async completion(context) {
      const { prompt, model } = parametersIn(context);
      return simulated(prompt, model, context.now());
    },
    memory: async () => null,
    async audit(context, given) {
      return resultOf(parametersIn(context), given, { auditId: deps.newId(), now: context.now() });
    },
    round: async () => null,
  };
}

function parametersIn({ scope }: AdapterContext): SessionParameters {
  const parsed = sessionParameters.safeParse(scope.params);
  if (parsed.success) return parsed.data;
  throw new NonRetryableError('the parameters are not those of a session', { code: 'input_invalid' });
}

function simulated(prompt: string, model: string, now: Date): JsonObject {
  return {
    completion: `Model ${model} acknowledged a prompt of ${prompt.length} characters.`,
    prompt_summary: promptSummary(prompt),
    model,
    generated_at: now.toISOString(),
    simulated: true,
  };
}

/** What readers of the session get. */
function resultOf(
  { session_id, tenant, user, decision }: SessionParameters,
  { approval, job, token, completion }: GivenOutputs,
  { auditId, now }: { auditId: string; now: Date },
): JsonObject {
  const rejection = rejectionIn(approval);
  const policy: RecordedDecision =
    rejection === undefined ? decision : { ...decision, reasons: { ...decision.reasons, approval: rejection } };
  const status = decision.allowed && rejection === undefined ? 'completed' : 'rejected';
  return {
    ...{ session_id, tenant, user, status, policy: policy as JsonObject },
    token: token ?? null,
    slm_response: completion ?? {},
    audit_event_id: auditId,
    completed_at: now.toISOString(),
    ...(job === undefined || job === null ? {} : { volcano_job: job }),
  };
}

function rejectionIn(approval: Json | undefined): JsonObject | undefined {
  if (typeof approval !== 'object' || approval === null || Array.isArray(approval)) return undefined;
  const { approved, by = null, comment = null } = approval;
  return approved === false ? { rejected_by: by, comment } : undefined;
}
