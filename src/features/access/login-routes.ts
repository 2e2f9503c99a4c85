/**
 * Logging in with a browser, at the provider that is configured. What a login is bound to (state, nonce, the verifier of
 * PKCE, the page to go on to) waits in a cookie of its own for ten minutes: an answer that this browser has not requested, or
 * has had already, starts nothing.
 */

import type { Request, Response } from 'express';
import { z } from 'zod';
import { ROLES } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { cookiesNamed, createCookie } from '../../http/auth/cookies.ts';
import { claimsOf } from '../../http/auth/jwt-claims.ts';
import type { Attempt, Login } from '../../http/auth/login.ts';
import { accessOf, contextOf, namedCaller } from '../../http/middleware/context.ts';
import { endpoints, nothing, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { type Page, sendPage } from '../../http/server/page.ts';
import { WHEN } from '../../schemas/answer-shapes.ts';
import type { LoginSessions } from './login-session-ports.ts';
import { newAttempt } from './oidc-provider.ts';
import { AFTER_LOGIN, ownPath } from './return-to.ts';

const ATTEMPT_SECONDS = 600;
const page = { 'text/html': z.string().meta({ example: '<!doctype html>' }) };
const LOGIN = '/auth/login';
const LOGOUT = '/auth/logout';
export const CALLBACK = '/auth/callback';

export const startLogin = operation({
  id: 'beginLogin',
  permission: 'public',
  tag: 'Service',
  method: 'get',
  path: LOGIN,
  summary: 'Log in at the identity provider',
  description:
    'Redirects a browser to the identity provider. After the login the browser has a session cookie. The response is 404 if no provider is configured.',
  query: z.object({
    return_to: z
      .string()
      .optional()
      .meta({ description: `The path to redirect to after the login; ${AFTER_LOGIN} by default` }),
  }),
  answers: { 302: { description: 'Redirects to the provider' } },
  problems: ['not_found'],
  problemPages: [404, 503],
});

export const finishLogin = operation({
  id: 'finishLogin',
  permission: 'public',
  tag: 'Service',
  method: 'get',
  path: CALLBACK,
  summary: 'Complete a login',
  description:
    'The identity provider redirects the browser to this URL. The response of the provider is verified (this browser must have requested it), and a session is started.',
  query: nothing,
  answers: { 302: { description: 'Redirects to the requested page' } },
  problems: ['login_failed', 'not_found'],
  problemPages: [400, 403, 404, 503],
});

export const viewLogout = operation({
  id: 'viewLogout',
  permission: 'public',
  tag: 'Service',
  method: 'get',
  path: LOGOUT,
  summary: 'Get the logout page',
  description: 'The page asks for confirmation.',
  answers: { 200: { description: 'A page', schema: page['text/html'], mediaType: 'text/html' } },
  problems: ['not_found'],
  problemPages: [404],
});

const loggedOut = z
  .object({
    logged_out: z.literal(true),
    end_session_url: z.string().nullable().meta({ description: 'URL to end the session at the identity provider' }),
  })
  .meta({ example: { logged_out: true, end_session_url: null } });

export const logout = operation({
  id: 'logout',
  permission: 'public',
  tag: 'Service',
  method: 'post',
  path: LOGOUT,
  summary: 'Log out',
  description: 'Ends the session of this browser. Only pages of this service may send this request.',
  answers: { 200: { description: 'The session cookie was deleted', schema: loggedOut, others: page } },
  problems: ['not_found'],
  problemPages: [403, 404, 503],
});

const me = z
  .object({
    user_id: z.string(),
    tenant_id: z.string(),
    means: z
      .string()
      .meta({ description: 'Means of authentication: none, api_key, jwt, identity, certificate, session' }),
    roles: z.array(z.enum(ROLES)),
    scopes: z.array(z.string()).nullable().meta({ description: 'Scopes of the credentials; null: not limited' }),
    session_expires_at: z.iso.datetime().nullable().meta({ description: 'null: there is no session' }),
  })
  .meta({
    example: {
      ...{ user_id: 'anna', tenant_id: 'default', means: 'session', roles: ['editor'] },
      ...{ scopes: null, session_expires_at: WHEN },
    },
  });

export const getMe = operation({
  id: 'getMe',
  permission: 'authenticated',
  tag: 'Service',
  method: 'get',
  path: '/auth/me',
  summary: 'Get the caller and its permissions',
  answers: { 200: { description: 'The caller', schema: me } },
});

interface Needs {
  login?: Login | undefined;
  loginSessions: LoginSessions;
}

export const loginRoutes = endpoints([startLogin, finishLogin, viewLogout, logout, getMe], serve);

function serve(routes: Routes, { login, loginSessions }: Needs): void {
  routes.raw(startLogin, (request, response) =>
    answer(request, response, async () => {
      const { provider, attempts, publicUrl } = configured(login);
      const attempt = newAttempt();
      const to = await provider.start(attempt);
      const sealed = await attempts.seal({ ...attempt, to: ownPath(request.query['return_to']) }, ATTEMPT_SECONDS);
      response.append('Set-Cookie', attemptCookie(publicUrl).set(sealed, ATTEMPT_SECONDS));
      response.redirect(302, to.href);
    }),
  );

  routes.raw(finishLogin, (request, response) =>
    answer(request, response, async () => {
      const ready = configured(login);
      const { provider, sessions, publicUrl, claims: rules } = ready;
      const { to, ...attempt } = await attemptOf(request, ready);
      // Whatever comes of it, it is not taken a second time.
      response.append('Set-Cookie', attemptCookie(publicUrl).clear());
      const { search } = new URL(request.originalUrl, 'http://own.invalid');
      const said = await provider.finish(new URL(publicUrl + CALLBACK + search), attempt);
      const claims = claimsOf(said, rules);
      if ('why' in claims) {
        throw new OrchestratorError(
          'forbidden',
          `What the identity provider says of this user cannot be used (${claims.why})`,
        );
      }
      response.append('Set-Cookie', await sessions.start(claims));
      const context = contextOf(response);
      context.caller = namedCaller(claims, context);
      context.access = { means: 'session', roles: claims.roles, scopes: claims.scopes };
      response.redirect(302, publicUrl + to);
    }),
  );

  routes.raw(viewLogout, (request, response) =>
    answer(request, response, async () => {
      const { publicUrl } = configured(login);
      const { caller, access } = contextOf(response);
      if (caller === undefined || access?.means !== 'session') {
        sendPage(response, 200, { title: 'Not logged in', lines: [], link: { text: 'Log in', to: publicUrl + LOGIN } });
        return;
      }
      sendPage(response, 200, {
        title: 'Log out?',
        lines: [`You are ${caller.userId} of ${caller.tenantId}.`],
        button: { text: 'Log out', action: publicUrl + LOGOUT },
      });
    }),
  );

  routes.raw(logout, (request, response) =>
    answer(request, response, async () => {
      const { provider, sessions, publicUrl } = configured(login);
      if (!sessions.isFromOwnPage(request)) {
        throw new OrchestratorError('forbidden', 'Only pages of this service log out');
      }
      const { access, caller } = contextOf(response);
      const session = access?.means === 'session' ? await sessions.find(request) : undefined;
      // The cookie may have been copied: it ends for everybody.
      if (caller !== undefined && session !== undefined && 'id' in session && session.id !== undefined)
        await loginSessions.end(caller.tenantId, caller.userId, session.id, caller.userId);
      const end = access?.means === 'session' ? await provider.endOfSession(publicUrl + LOGOUT) : undefined;
      response.append('Set-Cookie', sessions.end());
      if (!acceptsPage(request))
        return sendJson(response, 200, { logged_out: true, end_session_url: end?.href ?? null });
      sendPage(response, 200, {
        title: 'Logged out',
        lines: [],
        // The policy of pages forbids forms that lead elsewhere, also by a redirect.
        leadsTo: end?.href,
        link:
          end === undefined
            ? { text: 'Log in', to: publicUrl + LOGIN }
            : { text: 'Log out at the identity provider too', to: end.href },
      });
    }),
  );

  routes.serve(getMe, async ({ caller, request, response }) => {
    const { means, roles, scopes } = accessOf(response);
    const { userId, tenantId } = caller;
    const session = means === 'session' ? await login?.sessions.find(request) : undefined;
    const expiresAt = session !== undefined && 'expiresAt' in session ? session.expiresAt.toISOString() : null;
    const who = { user_id: userId, tenant_id: tenantId, means, roles, scopes: scopes ?? null };
    sendJson(response, 200, { ...who, session_expires_at: expiresAt });
  });
}

/** Where a browser logs in that wants to see `path`. */
export function loginFor({ publicUrl }: Login): (path: string) => string {
  return (path) => `${publicUrl}${LOGIN}?return_to=${encodeURIComponent(ownPath(path))}`;
}

function configured(login: Login | undefined): Login {
  if (login === undefined) throw new OrchestratorError('not_found', 'No identity provider is configured to log in at');
  return login;
}

function attemptCookie(publicUrl: string): ReturnType<typeof createCookie> {
  return createCookie('orchestrator_login', publicUrl.startsWith('https:'));
}

const pending = z.object({ state: z.string(), nonce: z.string(), verifier: z.string(), to: z.string() });

async function attemptOf(
  request: Request,
  { attempts, publicUrl }: Pick<Login, 'attempts' | 'publicUrl'>,
): Promise<Attempt & { to: string }> {
  const cookies = cookiesNamed(attemptCookie(publicUrl).name, request.headersDistinct['cookie']);
  for (const text of cookies.slice(0, 2)) {
    const { data } = pending.safeParse(await attempts.open(text));
    // Of another login than the one that is answered: one in another tab, or one that somebody else started.
    if (data !== undefined && data.state === request.query['state']) return { ...data, to: ownPath(data.to) };
  }
  throw new OrchestratorError(
    'login_failed',
    'This browser has not begun the login that is answered, or it took longer than ten minutes: log in again',
  );
}

/** Pages for browsers, problem documents for others. */
async function answer(request: Request, response: Response, work: () => Promise<void>): Promise<void> {
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('X-Robots-Tag', 'noindex');
  response.vary('Accept');
  try {
    await work();
  } catch (error) {
    if (!(error instanceof OrchestratorError) || !acceptsPage(request)) throw error;
    contextOf(response).problem = error.code;
    if (error.status === 503) response.setHeader('Retry-After', '5');
    sendPage(response, error.status, problemPage(error, request));
  }
}

function problemPage(error: OrchestratorError, request: Request): Page {
  const isLogin = error.code !== 'not_found' && !request.path.startsWith(LOGOUT);
  // Beside it: the path before it may be a proxy's.
  const link = isLogin ? { text: 'Log in again', to: 'login' } : undefined;
  return { title: 'The login did not succeed', lines: [error.message], link };
}

function acceptsPage(request: Request): boolean {
  return request.accepts(['json', 'html']) === 'html';
}
