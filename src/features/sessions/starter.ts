/** Who makes a request, as sessions ask for it. */
import type { Response } from 'express';
import { accessOf } from '../../http/middleware/context.ts';
import { idempotencyKey } from '../../http/server/idempotency.ts';
import type { Call } from '../../http/server/operation.ts';
import type { Starter } from './start-session.ts';

const NOBODY = 'anonymous';

export function starterOf({
  caller,
  request,
  response,
  signal,
}: Pick<Call<never, never>, 'caller' | 'request' | 'response' | 'signal'>): Starter {
  return {
    ...{ caller, signal, role: roleOf(response) },
    tenantOfCredentials: accessOf(response).means === 'none' ? undefined : caller.tenantId,
    idempotencyKey: idempotencyKey(request),
  };
}

function roleOf(response: Response): string {
  const { means, roles } = accessOf(response);
  return means === 'none' ? NOBODY : (roles[0] ?? NOBODY);
}
