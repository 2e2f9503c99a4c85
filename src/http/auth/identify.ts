/**
 * Identifies the caller of every HTTP request and upgrade. Without configured credentials nothing is required and what is
 * presented is ignored. Else a request has exactly one credential and that one decides: a wrong one is rejected, whatever
 * else the request says, and never makes its sender anonymous.
 */
import { type Access, OPEN_ACCESS } from '../../domain/access.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { believedCaller, namedCaller, type TraceContext } from '../middleware/context.ts';
import { type CertificateHolder, holderOf } from './certificates.ts';
import { configuredKeys } from './configured-keys.ts';
import type { JwtVerifier } from './jwt.ts';
import type { FindApiKey } from './made-keys.ts';
import { type AuthRequest, presentedBy } from './presented.ts';
import type { Principal } from './principal.ts';
import type { Sessions } from './sessions.ts';

export interface Rejection {
  /** For the client: nothing in it says how near it was. */
  detail: string;
  /** For our log. */
  why: string;
  presented: boolean;
  /** It was a cookie, which a browser sends by itself: where nothing is needed it is passed over. */
  fromCookie?: true;
}

export type Identity = { caller: Caller; access: Access } | Rejection;
export type Identify = (request: AuthRequest, context: TraceContext) => Identity | Promise<Identity>;

/** Undefined: nobody can be asked. */
export type VerifyToken = (token: string) => ReturnType<JwtVerifier> | undefined;

export interface IdentifyDeps {
  /** Whether credentials are required at all. */
  required: boolean;
  apiKeys: readonly string[];
  /** Keys that tenants have made for themselves. */
  madeKeys?: FindApiKey | undefined;
  /** Undefined: tokens are not taken. */
  jwt?: JwtVerifier | undefined;
  /** Is asked about tokens that `jwt` does not verify. */
  tokens?: VerifyToken | undefined;
  /** By their names; where there are any, a client certificate identifies the caller if no other credential does. */
  certificates?: ReadonlyMap<string, CertificateHolder> | undefined;
  /** Those of browsers that have logged in. */
  sessions?: Pick<Sessions, 'isPresentedBy' | 'find'> | undefined;
  /** Those whose `X-User-ID` and `X-Tenant-ID` are believed, as `trustedName` names them. */
  trustedCallers?: readonly string[] | undefined;
  /** They open /metrics and nothing else; where there are any it needs one even if nothing else needs anything. */
  metricsTokens?: readonly string[] | undefined;
}

const MISSING = 'Credentials are required: Authorization: Bearer, or X-API-Key';
const METRICS = /^\/metrics\/?(?:\?|$)/;
const WRONG = 'The credentials are not valid';

export function createIdentify(deps: IdentifyDeps): Identify {
  const { required, jwt, tokens, madeKeys, sessions } = deps;
  const keyNamed = configuredKeys(deps.apiKeys);
  const certificates = deps.certificates ?? new Map<string, CertificateHolder>();
  const metricsTokens = deps.metricsTokens ?? [];
  const metricsTokenNamed = configuredKeys(metricsTokens);
  const trusted = new Set(deps.trustedCallers ?? []);

  function principalOf(text: string, bearer: boolean): Principal | Rejection | Promise<Principal | Rejection> {
    const name = keyNamed(text);
    if (name !== undefined) return ofConfiguredKey(name);
    if (madeKeys?.isOne(text) === true) return madeKeys.find(text).then((found) => found ?? rejection('unknown_key'));
    return bearer && (jwt !== undefined || tokens !== undefined) ? ofToken(text) : rejection('unknown_key');
  }

  async function ofToken(text: string): Promise<Principal | Rejection> {
    const own = await jwt?.(text);
    if (own !== undefined && !('why' in own)) return own;
    const found = (await tokens?.(text)) ?? own ?? { why: 'unknown_key' };
    return 'why' in found ? rejection(found.why) : found;
  }

  function identity(found: Principal | Rejection, request: AuthRequest, context: TraceContext): Identity {
    if ('detail' in found) return found;
    const { userId, tenantId, access } = found;
    const mayName = trusted.has(trustedName(found));
    const caller = mayName
      ? believedCaller(request, context, { userId, tenantId })
      : namedCaller({ userId, tenantId }, context);
    return { caller, access };
  }

  return (request, context) => {
    const guarded = metricsTokens.length > 0 && METRICS.test(request.originalUrl);
    if (!required && !guarded) return { caller: believedCaller(request, context), access: OPEN_ACCESS };
    const presented = presentedBy(request);
    const session = sessions?.isPresentedBy(request) === true ? sessions : undefined;
    if (presented.kind === 'nothing') {
      if (session !== undefined) {
        return session
          .find(request)
          .then((found) =>
            'why' in found ? { ...rejection(found.why), fromCookie: true } : identity(found, request, context),
          );
      }
      const holder = certificates.size === 0 ? undefined : holderOf(request.socket, certificates);
      if (holder === 'unknown') return rejection('unknown_certificate');
      if (holder !== undefined) return identity(holder, request, context);
      return { detail: MISSING, why: 'none', presented: false };
    }
    if (presented.kind === 'unreadable') return rejection(presented.why);
    if (session !== undefined) return rejection('two_credentials');
    const scraper = guarded ? metricsTokenNamed(presented.text) : undefined;
    if (scraper !== undefined) return identity(ofMetricsToken(scraper), request, context);
    const found = principalOf(presented.text, presented.bearer);
    if (!(found instanceof Promise)) return identity(found, request, context);
    return found.then((principal) => identity(principal, request, context));
  };
}

/** A shared key speaks for the default tenant; the headers would let its holder choose any. */
function ofConfiguredKey(name: string): Principal {
  const access: Access = { means: 'api_key', credential: `API_KEY ${name}`, roles: ['admin'], scopes: undefined };
  return { userId: `api-key-${name}`, tenantId: 'default', access };
}

function ofMetricsToken(name: string): Principal {
  const credential = `METRICS_TOKEN ${name}`;
  const access: Access = { means: 'api_key', credential, roles: ['viewer'], scopes: ['system:read'] };
  return { userId: `metrics-token-${name}`, tenantId: 'default', access };
}

/** Of a token with who issued it and for which tenant: anybody may have a subject of the same name elsewhere. */
function trustedName({ userId, tenantId, issuer = '', access: { means } }: Principal): string {
  return means === 'jwt' ? `jwt:${issuer}|${tenantId}|${userId}` : `${means}:${userId}`;
}

function rejection(why: string): Rejection {
  return { detail: WRONG, why, presented: true };
}
