/** Sessions of browsers, to list and to end one by one: one's own, or those of the tenant. */

import { allows } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Login } from '../../http/auth/login.ts';
import { accessOf } from '../../http/middleware/context.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { pageOf } from '../../http/server/paging.ts';
import type { LoginSessions } from './login-session-ports.ts';
import * as schemas from './login-session-schemas.ts';

const tag = 'Service';
const notFound = 'Session not found';
/** Who may take away keys may take away sessions. */
const FOR_EVERYBODY = 'keys:write';

export const listLoginSessions = operation({
  id: 'listLoginSessions',
  permission: 'authenticated',
  tag,
  method: 'get',
  path: '/auth/sessions',
  summary: 'List open browser sessions',
  description:
    'Returns the sessions of the caller, newest first, or with `of=tenant` those of all users of the tenant, which requires `keys:write`.',
  query: schemas.loginSessionQuery,
  answers: { 200: { description: 'One page of results', schema: schemas.loginSessionList } },
});

export const endLoginSession = operation({
  id: 'endLoginSession',
  permission: 'authenticated',
  tag,
  method: 'delete',
  path: '/auth/sessions/{session_id}',
  summary: 'End a browser session',
  description:
    'Users can end their own sessions, or with `keys:write` any session of the tenant. Every process rejects the session within five seconds.',
  notFound,
  answers: { 204: { description: 'Ended' } },
});

interface Needs {
  loginSessions: LoginSessions;
  login?: Login | undefined;
}

export const loginSessionRoutes = endpoints([listLoginSessions, endLoginSession], serve);

function serve(routes: Routes, { loginSessions, login }: Needs): void {
  routes.serve(listLoginSessions, async ({ query, caller, request, response }) => {
    const { of, page, page_size: pageSize } = query;
    if (of === 'tenant' && !allows({ tenantId: caller.tenantId, access: accessOf(response) }, FOR_EVERYBODY)) {
      throw new OrchestratorError('forbidden', `The sessions of others are for who has ${FOR_EVERYBODY}`);
    }
    const own = accessOf(response).means === 'session' ? await login?.sessions.find(request) : undefined;
    const current = own !== undefined && 'id' in own ? own.id : undefined;
    const userId = of === 'me' ? caller.userId : undefined;
    const { items, total } = await loginSessions.list(caller.tenantId, userId, page, pageSize);
    const shown = items.map(({ id, userId: user, createdAt, expiresAt }) => ({
      session_id: id,
      user_id: user,
      created_at: createdAt,
      expires_at: expiresAt,
      current: id === current,
    }));
    sendJson(response, 200, { items: shown, ...pageOf(page, pageSize, total) });
  });

  routes.serve(endLoginSession, async ({ params, caller, response }) => {
    const { tenantId, userId } = caller;
    const any = allows({ tenantId, access: accessOf(response) }, FOR_EVERYBODY);
    const ended = await loginSessions.end(tenantId, any ? undefined : userId, params['session_id'] ?? '', userId);
    if (!ended) throw new OrchestratorError('not_found', notFound);
    response.status(204).end();
  });
}
