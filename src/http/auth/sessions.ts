/**
 * Sessions of browsers. A session is a sealed cookie, valid until it expires, is ended, or the secret that sealed it is
 * gone. Browsers send cookies by themselves, so a session authenticates a request that changes something only when the
 * browser says that the request comes from a page of ours.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { ROLES } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import { cookiesNamed, createCookie } from './cookies.ts';
import type { Claims } from './jwt-claims.ts';
import type { AuthRequest } from './presented.ts';
import type { Principal } from './principal.ts';
import { createSealer, MAX_SEALED_LENGTH } from './sealed.ts';

export interface Session extends Principal {
  /** Undefined: of before sessions had one; it cannot be ended alone. */
  id: string | undefined;
  expiresAt: Date;
}

export interface Sessions {
  /** Whether the request has the cookie, good or bad. */
  isPresentedBy(request: AuthRequest): boolean;
  /** `why`: it does not count, for our log. */
  find(request: AuthRequest): Promise<Session | { why: string }>;
  /** The `Set-Cookie` header that starts the session. */
  start(claims: Claims): Promise<string>;
  /** The `Set-Cookie` header that deletes the cookie. */
  end(): string;
  isFromOwnPage(request: AuthRequest): boolean;
}

export interface SessionRules {
  secrets: readonly string[];
  hours: number;
  /** A session of another provider, or for another client, is none. */
  issuer: string;
  clientId: string;
  /** Where browsers reach us: says which origin is ours, and whether cookies are for https alone. */
  publicUrl: string;
  now(): Date;
  /** Left out: sessions last until they expire. */
  directory?: { start: SessionDirectory['start']; isEnded(id: string): Promise<boolean> } | undefined;
}

const content = z.object({
  iss: z.string(),
  client: z.string(),
  sub: z.string(),
  tenant: z.string(),
  roles: z.array(z.enum(ROLES)),
  scopes: z.array(z.string()).nullable(),
  exp: z.number(),
  sid: z.string().optional(),
});

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

export function createSessions({
  secrets,
  hours,
  issuer,
  clientId,
  publicUrl,
  now,
  directory,
}: SessionRules): Sessions {
  const { origin, protocol } = new URL(publicUrl);
  const cookie = createCookie('orchestrator_session', protocol === 'https:');
  const sealer = createSealer({ secrets, purpose: 'session', now });
  const lasting = hours * 3_600;
  const cookiesOf = (request: AuthRequest) => cookiesNamed(cookie.name, request.headersDistinct['cookie']);

  function isFromOwnPage(request: AuthRequest): boolean {
    const from = request.get('origin');
    const site = request.get('sec-fetch-site');
    if (from !== undefined && from !== origin) return false;
    if (site !== undefined && site !== 'same-origin') return false;
    return from !== undefined || site !== undefined;
  }

  /** A GET by another origin's page counts for nothing either: a socket, which it could read, starts with one. */
  function counts(request: AuthRequest): boolean {
    const from = request.get('origin');
    if (SAFE.has(request.method)) return from === undefined || from === origin;
    return isFromOwnPage(request) && (!hasBody(request) || JSON_TYPE.test(request.get('content-type') ?? ''));
  }

  return {
    isFromOwnPage,
    isPresentedBy: (request) => cookiesOf(request).length > 0,
    async find(request) {
      const [first, ...others] = cookiesOf(request);
      if (first === undefined) return { why: 'none' };
      if (others.some((other) => other !== first)) return { why: 'two_credentials' };
      if (!counts(request)) return { why: 'session_of_another_page' };
      const opened = await sealer.open(first);
      if (opened === undefined) return { why: 'session_over' };
      const { data } = content.safeParse(opened);
      if (data === undefined || data.iss !== issuer || data.client !== clientId) return { why: 'session_of_another' };
      if (data.sid !== undefined && (await directory?.isEnded(data.sid)) === true) return { why: 'session_ended' };
      return {
        id: data.sid,
        userId: data.sub,
        tenantId: data.tenant,
        access: { means: 'session', roles: data.roles, scopes: data.scopes ?? undefined },
        expiresAt: new Date(data.exp * 1_000),
      };
    },
    async start({ userId, tenantId, roles, scopes }) {
      const who = { iss: issuer, client: clientId, sub: userId, tenant: tenantId };
      const id = randomUUID();
      const sealed = await sealer.seal({ ...who, sid: id, roles, scopes: scopes ?? null }, lasting);
      if (sealed.length > MAX_SEALED_LENGTH) {
        throw new OrchestratorError('login_failed', 'The provider says more of this user than a session can hold');
      }
      await directory?.start({ id, tenantId, userId, seconds: lasting });
      return cookie.set(sealed, lasting);
    },
    end: cookie.clear,
  };
}

function hasBody(request: AuthRequest): boolean {
  const length = request.get('content-length');
  return request.get('transfer-encoding') !== undefined || (length !== undefined && length !== '0');
}

/** Stored sessions, for authentication. */
export interface SessionDirectory {
  start(session: { id: string; tenantId: string; userId: string; seconds: number }): Promise<void>;
  /** All that were ended, as long as they would have lasted. */
  ended(): Promise<ReadonlySet<string>>;
}
