/** Who makes a request, as sessions ask for it. */
import { accessOf, contextOf } from '../../http/middleware/context.ts';
import { idempotencyKey } from '../../http/server/idempotency.ts';
import type { Call } from '../../http/server/operation.ts';
import { strongestRole } from '../policy/domain.ts';
import type { Starter } from './start-session.ts';

export function starterOf({
  caller,
  request,
  response,
  signal,
}: Pick<Call<never, never>, 'caller' | 'request' | 'response' | 'signal'>): Starter {
  const access = accessOf(response);
  const { requestId, traceId } = contextOf(response);
  return {
    caller,
    role: strongestRole(access),
    asks: { signal, access, requestId, traceId },
    tenantOfCredentials: access.means === 'none' ? undefined : caller.tenantId,
    idempotencyKey: idempotencyKey(request),
  };
}
