/** What a policy engine is asked, and what its answers mean: in its own dialect, and in the data API of Open Policy Agent. */
import type { Access, Role } from '../../domain/access.ts';
import { endpointOf } from '../../domain/service-address.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { guardJson } from '../../schemas/json-guard.ts';

export type PolicyDialect = 'native' | 'opa';

/** All six are sent. */
export interface PolicyRequest {
  session_id: string;
  tenant: string;
  user: string;
  role: string;
  prompt: string;
  metadata: JsonObject;
}

export interface PolicyDecision {
  allowed: boolean;
  score: number | null;
  severity: string | null;
  reasons: JsonObject;
  /** There was no decision, and POLICY_FAIL_OPEN allowed it. */
  failedOpen: boolean;
}

export type EngineAnswer =
  | {
      decision: Omit<PolicyDecision, 'failedOpen'>;
      /** How long it holds for all that was sent but the session; 0: for this request alone. */
      cacheSeconds: number;
    }
  /** It decides nothing: why, without quoting it. */
  | { fault: string };

const SEVERITIES = ['low', 'medium', 'high', 'critical'];
const MAX_CACHE_SECONDS = 300;
const OPA_DOCUMENT = '/v1/data/orchestrator';
const SHOWN_VIOLATIONS = 5;
const SHOWN_LENGTH = 200;

export function policyEndpoint(dialect: PolicyDialect, url: string): URL {
  if (dialect === 'native') return endpointOf(url, '/v1/evaluate');
  const named = /\/v1\/data\/.*[^/]/.exec(new URL(url).pathname);
  return endpointOf(url, named === null ? OPA_DOCUMENT : named[0]);
}

export function questionOf(dialect: PolicyDialect, request: PolicyRequest): object {
  const { session_id, tenant, user, role, prompt, metadata } = request;
  const question = { session_id, tenant, user, prompt, role, metadata };
  return dialect === 'native' ? question : { input: question };
}

const NO_ROLE = 'anonymous';
const BY_POWER: readonly Role[] = ['admin', 'editor', 'operator', 'viewer', 'worker'];

/** The engine takes one role: the most powerful one. Who was not checked has none, although everything is allowed then. */
export function strongestRole(access: Access | undefined): string {
  if (access === undefined || access.means === 'none') return NO_ROLE;
  return BY_POWER.find((role) => access.roles.includes(role)) ?? NO_ROLE;
}

export function readEngineAnswer(
  dialect: PolicyDialect,
  { status, body }: { status: number; body: unknown },
): EngineAnswer {
  if (status < 200 || status > 299) return { fault: `it answered ${status}` };
  if (!isObject(body)) return { fault: 'it answered something else than a JSON object' };
  return dialect === 'native' ? ofDocument(body, [body['allowed']]) : ofOpa(body);
}

/** A document that OPA does not have is undefined, and what is undefined is not allowed. */
function ofOpa(body: Fields): EngineAnswer {
  if (!Object.hasOwn(body, 'result')) return ofDocument({}, [false]);
  const { result } = body;
  if (typeof result === 'boolean') return ofDocument({}, [result]);
  if (!isObject(result)) return { fault: 'its result is neither a boolean nor an object' };
  return ofDocument(
    result,
    [result['allowed'], result['allow']].filter((flag) => flag !== undefined),
  );
}

type Fields = Readonly<Record<string, unknown>>;

/** What is odd beside the decision does not take the decision away. */
function ofDocument(fields: Fields, flags: readonly unknown[]): EngineAnswer {
  if (flags.length === 0 || !flags.every((flag) => typeof flag === 'boolean')) {
    return { fault: 'it does not say whether it is allowed' };
  }
  const { score, severity, cache_seconds: seconds } = fields;
  return {
    decision: {
      allowed: flags.every((flag) => flag),
      score: typeof score === 'number' && Number.isFinite(score) ? score : null,
      severity: typeof severity === 'string' && SEVERITIES.includes(severity) ? severity : null,
      reasons: reasonsOf(fields),
    },
    cacheSeconds: typeof seconds === 'number' && seconds > 0 ? Math.min(seconds, MAX_CACHE_SECONDS) : 0,
  };
}

/** Of the second schema the violations stand beside the decision. */
function reasonsOf({ reasons, violations, constitution_hash: hash }: Fields): JsonObject {
  const second = {
    ...(typeof hash === 'string' ? { constitution_hash: hash } : {}),
    ...(Array.isArray(violations) ? { policy: violations } : {}),
  };
  const found = isObject(reasons) ? reasons : second;
  // What it holds is JSON, because it was parsed; some of that cannot be stored.
  return guardJson(found).length === 0 ? (found as JsonObject) : {};
}

/** The violations for people: short, each on one line. */
export function violationsIn({ policy }: JsonObject): string[] {
  if (!Array.isArray(policy)) return [];
  return policy
    .filter((violation) => typeof violation === 'string')
    .slice(0, SHOWN_VIOLATIONS)
    .map((violation) =>
      violation
        .replaceAll(/[\s\p{Cc}]+/gu, ' ')
        .trim()
        .slice(0, SHOWN_LENGTH),
    )
    .filter((violation) => violation !== '');
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
