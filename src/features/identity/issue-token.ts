/** Has the identity service issue a token for a session. The token itself is used by nobody here, and stored nowhere. */
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { ServiceAnswer } from '../../egress/post-json.ts';
import { type IssuedToken, readIssuedToken } from './read-answers.ts';

export interface TokenRequest {
  tenantId: string;
  userId: string;
  capabilities: readonly string[];
  mfaCode?: string | undefined;
  /** The same one gets the same token: of a step, whatever happens between the answer and its commit. */
  idempotencyKey: string;
}

/** `upstream_unavailable`: a retry may help; `upstream_rejected`: none does. */
export type IssueToken = (request: TokenRequest, signal?: AbortSignal) => Promise<IssuedToken>;

interface Deps {
  /** In time, or it rejects. */
  ask(body: object, idempotencyKey: string, signal: AbortSignal | undefined): Promise<ServiceAnswer>;
}

const REJECTIONS = new Map([
  [400, 'it rejects the request'],
  [401, 'it does not know this service'],
  [403, 'the user lacks a capability, or the code of the second factor is missing or wrong'],
  [404, 'it does not know the user'],
  [422, 'it rejects the request'],
]);

export function createIssueToken({ ask }: Deps): IssueToken {
  return async ({ tenantId, userId, capabilities, mfaCode, idempotencyKey }, signal) => {
    const body = {
      ...{ user_id: userId, tenant_id: tenantId, capabilities: [...capabilities] },
      ...(mfaCode === undefined ? {} : { mfa_code: mfaCode }),
    };
    const answer = await ask(body, idempotencyKey, signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw notIssued(errorMessage(error));
    });
    const rejected = REJECTIONS.get(answer.status);
    if (rejected !== undefined) {
      throw new OrchestratorError('upstream_rejected', `The identity service issued no token: ${rejected}`);
    }
    if (answer.status < 200 || answer.status > 299) throw notIssued(`it answered ${answer.status}`);
    const issued = readIssuedToken(answer.body);
    if (issued === undefined) throw notIssued('it answered something else than a token');
    return issued;
  };
}

function notIssued(why: string): OrchestratorError {
  return new OrchestratorError('upstream_unavailable', `The identity service issued no token: ${why}`);
}
