/** Reads the caller from the claims of a token whose signature and times are valid. */
import { ROLES, type Role } from '../../domain/access.ts';
import { isIdentity } from '../middleware/context.ts';

export interface ClaimRules {
  /** The name of a claim, or a path of names with dots between them. */
  tenantClaim: string;
  rolesClaim: string;
  /** For a token that names no tenant; undefined: it is rejected. */
  defaultTenant: string | undefined;
  /** For a token that says nothing of roles. */
  defaultRoles: readonly Role[];
}

export interface Claims {
  userId: string;
  tenantId: string;
  roles: readonly Role[];
  scopes: readonly string[] | undefined;
}

type Payload = Readonly<Record<string, unknown>>;

export function claimsOf(payload: Payload, rules: ClaimRules): Claims | { why: string } {
  const userId = payload['sub'];
  if (!isIdentity(userId)) return { why: 'no_subject' };
  const tenantId = claim(payload, rules.tenantClaim) ?? rules.defaultTenant;
  if (!isIdentity(tenantId)) return { why: 'no_tenant' };
  const named = claim(payload, rules.rolesClaim);
  const words = named === undefined ? rules.defaultRoles : wordsOf(named);
  if (words === undefined) return { why: 'malformed_roles' };
  // A provider has roles of other programs too.
  const roles = ROLES.filter((role) => words.includes(role));
  const scopes = scopesOf(payload);
  if (scopes === 'malformed') return { why: 'malformed_scopes' };
  return { userId, tenantId, roles, scopes };
}

/**
 * Ours are spelled `<what>:<which>`. A token that names any of that form is limited to them; `openid`, `email` and the
 * like, which every token of an OpenID provider has, limit nothing.
 */
function scopesOf(payload: Payload): readonly string[] | undefined | 'malformed' {
  const named = own(payload, 'scope') ?? own(payload, 'scopes') ?? own(payload, 'scp');
  if (named === undefined) return undefined;
  const words = wordsOf(named);
  if (words === undefined) return 'malformed';
  const limiting = words.filter((word) => /^[^:/]+:[^/]+$/.test(word));
  return limiting.length === 0 ? undefined : limiting;
}

/** A list, or words with spaces or commas between them. */
function wordsOf(value: unknown): string[] | undefined {
  if (typeof value === 'string') return value.split(/[\s,]+/).filter((word) => word !== '');
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) return undefined;
  return value;
}

/** Names of claims may be URLs, which have dots of their own: the full name comes first. */
function claim(payload: Payload, name: string): unknown {
  const whole = own(payload, name);
  if (whole !== undefined) return whole;
  let found: unknown = payload;
  for (const part of name.split('.')) found = own(found, part);
  return found;
}

function own(of: unknown, name: string): unknown {
  if (typeof of !== 'object' || of === null || !Object.hasOwn(of, name)) return undefined;
  const value = (of as Payload)[name]; // Any object has fields.
  return value === null ? undefined : value;
}
