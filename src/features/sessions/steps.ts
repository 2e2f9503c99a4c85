/** What the steps of a session do. Each may be delivered again: services get the idempotency key of its task. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { type AdapterContext, NonRetryableError, RetryableError } from '../../../workers/adapter.ts';
import { describe, OrchestratorError } from '../../domain/errors.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { IdentityClient } from '../identity/assemble.ts';
import type { TokenRequest } from '../identity/issue-token.ts';
import { complete } from './completion.ts';
import { DEFAULT_MODEL, jobResult, MESSAGE, memoryKey } from './domain.ts';
import type { Memory } from './memory.ts';
import { agentParameters, messagePayload, type SessionParameters, sessionParameters } from './parameters.ts';
import type { WriteSessionAudit } from './session-audit.ts';

export interface GivenOutputs {
  approval?: Json | undefined;
  job?: Json | undefined;
  token?: Json | undefined;
  completion?: Json | undefined;
}

type Step = (context: AdapterContext, given: GivenOutputs) => Promise<Json>;
export type StepsOfSession = Readonly<
  Record<'token' | 'completion' | 'memory' | 'audit' | 'round' | 'agent_token' | 'agent_completion', Step>
>;

export interface StepDeps {
  /** Undefined: sessions have no token. */
  identity: Pick<IdentityClient, 'issueToken'> | undefined;
  /** The code that was sent along, if it still is there. */
  mfaCode(runId: string): Promise<string | undefined>;
  memory: Memory;
  audit: WriteSessionAudit;
}

export function stepsOfSession({ identity, mfaCode, memory, audit }: StepDeps): StepsOfSession {
  async function remember(context: AdapterContext, round: number, prompt: string, response: JsonObject) {
    const { session_id: sessionId, tenant } = parametersIn(context);
    const { completion = '', model = '', generated_at: at = '' } = response;
    const value = { prompt, completion: String(completion), model: String(model), at: String(at) };
    return memory.remember(context, memoryKey(tenant, sessionId, round), value);
  }

  async function issue(context: AdapterContext, who: Omit<TokenRequest, 'mfaCode' | 'idempotencyKey'>): Promise<Json> {
    if (identity === undefined) return null;
    const code = await mfaCode(context.run.id);
    const { idempotencyKey } = context;
    const request = { ...who, idempotencyKey, ...(code === undefined ? {} : { mfaCode: code }) };
    const issued = await identity.issueToken(request, context.signal).catch(asFailure);
    // Whatever else it has is for nobody.
    return { expires_in: issued.expires_in, token_type: issued.token_type };
  }

  return {
    async token(context) {
      const { tenant, user, capabilities } = parametersIn(context);
      return issue(context, { tenantId: tenant, userId: user, capabilities });
    },
    completion: (context) => complete(context, requestOf(parametersIn(context))),
    async memory(context, { completion }) {
      const remembered = isObject(completion) && (await remember(context, 0, parametersIn(context).prompt, completion));
      return { remembered };
    },
    async audit(context, given) {
      const parameters = parametersIn(context);
      const result = resultOf(parameters, given);
      const auditId = idOf(context.idempotencyKey);
      await audit({
        auditId,
        tenantId: context.run.tenantId,
        userId: context.run.userId,
        tenant: parameters.tenant,
        user: parameters.user,
        runId: context.run.id,
        sessionId: parameters.session_id,
        status: result.status,
        decision: result.policy,
        token: result.token,
        job: 'volcano_job' in result ? (result.volcano_job ?? null) : null,
      });
      return { ...result, audit_event_id: auditId, completed_at: context.now().toISOString() };
    },
    async agent_token(context) {
      const { tenant, initiator, directive } = agentIn(context);
      const { agent_id: agent, capabilities: named } = directive;
      const capabilities = named.length > 0 ? named : [`agent:${agent}`];
      return issue(context, { tenantId: tenant, userId: initiator, capabilities });
    },
    async agent_completion(context) {
      const { orchestration_id: orchestration, tenant, initiator, directive } = agentIn(context);
      const { agent_id: agent, prompt, model = DEFAULT_MODEL } = directive;
      return complete(context, { session_id: `${orchestration}:${agent}`, tenant, user: initiator, model, prompt });
    },
    async round(context) {
      const parameters = parametersIn(context);
      const { prompt, decision } = await nextMessage(context);
      const round = Number(context.scope.locals?.['iteration']);
      const recalled = await memory.recall(context, memoryKey(parameters.tenant, parameters.session_id, round - 1));
      const response = await complete(context, { ...requestOf(parameters), prompt }, recalled);
      const remembered = await remember(context, round, prompt, response);
      const policy = (decision ?? parameters.decision) as JsonObject; // JSON, as it was sent.
      return { round, policy, slm_response: response, remembered, completed_at: context.now().toISOString() };
    },
  };
}

function agentIn({ scope }: AdapterContext): z.output<typeof agentParameters> {
  const parsed = agentParameters.safeParse(scope.params);
  if (parsed.success) return parsed.data;
  throw new NonRetryableError('the parameters are not those of an agent', { code: 'input_invalid' });
}

/** The oldest that no round has; without one the task sleeps until it comes. */
async function nextMessage({ engine, park }: AdapterContext): Promise<z.output<typeof messagePayload>> {
  if (engine?.signal === undefined) throw new NonRetryableError('messages are the engine’s own, and it is not here');
  const answer = await engine.signal(MESSAGE, undefined);
  return answer.is === 'received' ? messagePayload.parse(answer.payload) : park();
}

function requestOf({ session_id, tenant, user, model, prompt }: SessionParameters) {
  return { session_id, tenant, user, model, prompt };
}

function parametersIn({ scope }: AdapterContext): SessionParameters {
  const parsed = sessionParameters.safeParse(scope.params);
  if (parsed.success) return parsed.data;
  throw new NonRetryableError('the parameters are not those of a session', { code: 'input_invalid' });
}

/** What readers of the session get, but for its audit. */
function resultOf(
  { session_id, tenant, user, decision }: SessionParameters,
  { approval, job, token, completion }: GivenOutputs,
) {
  const rejection = rejectionIn(approval);
  const hasRun = decision.allowed && rejection === undefined;
  const shown = job === undefined || !hasRun ? undefined : jobResult(job);
  const { reasons } = decision;
  const policy = rejection === undefined ? decision : { ...decision, reasons: { ...reasons, approval: rejection } };
  return {
    ...{ session_id, tenant, user },
    status: hasRun ? 'completed' : 'rejected',
    policy: policy as JsonObject, // JSON, as the client of the policy gave it.
    token: token ?? null,
    slm_response: completion ?? {},
    ...(shown === undefined ? {} : { volcano_job: shown }),
  };
}

function rejectionIn(approval: Json | undefined): JsonObject | undefined {
  if (!isObject(approval)) return undefined;
  const { approved, by = null, comment = null } = approval;
  return approved === false ? { rejected_by: by, comment } : undefined;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same for every attempt. */
function idOf(idempotencyKey: string): string {
  const digest = createHash('sha256').update(idempotencyKey).digest('hex');
  return [
    digest.slice(0, 8),
    digest.slice(8, 12),
    digest.slice(12, 16),
    digest.slice(16, 20),
    digest.slice(20, 32),
  ].join('-');
}

/** Says of an error of ours whether another attempt may help. */
function asFailure(error: unknown): never {
  if (!(error instanceof OrchestratorError)) throw error;
  const { code, message, retryAfterSeconds } = error;
  if (!describe(code).retryable) throw new NonRetryableError(message, { code, cause: error });
  const retryAfterMs = retryAfterSeconds === undefined ? undefined : retryAfterSeconds * 1_000;
  throw new RetryableError(message, { code, cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}
