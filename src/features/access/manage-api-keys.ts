/** API keys of a tenant: made, listed, replaced and revoked. Nobody gives a key more than they may do themselves. */
import { type Access, ALL_PERMISSIONS, allows, isScope, type Role } from '../../domain/access.ts';
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { ApiKey, ApiKeyStore } from './api-key-ports.ts';
import { hashOfKey, makeApiKey, prefixOfKey } from './api-key-text.ts';

export interface ApiKeyFields {
  name: string;
  roles: readonly Role[];
  scopes?: readonly string[] | undefined;
  expires_in_seconds?: number | undefined;
}

/** The caller, and its access. */
export interface Grantor {
  caller: Caller;
  access: Access;
}

/** `key`: shown once. */
export interface IssuedKey {
  apiKey: ApiKey;
  key: string;
}

export interface ApiKeys {
  create(grantor: Grantor, fields: ApiKeyFields): Promise<IssuedKey>;
  list(caller: Caller, page: number, pageSize: number): Promise<{ items: ApiKey[]; total: number }>;
  get(caller: Caller, id: string): Promise<ApiKey>;
  rotate(grantor: Grantor, id: string, graceSeconds: number): Promise<IssuedKey>;
  revoke(caller: Caller, id: string): Promise<void>;
}

/** Revoked ones count for a month: a loop that makes and revokes keys fills nothing. */
const MAX_PER_TENANT = 1_000;

export function createApiKeys(deps: { keys: ApiKeyStore; newId(): string; random(bytes: number): Buffer }): ApiKeys {
  const { keys } = deps;

  async function find(caller: Caller, id: string): Promise<ApiKey> {
    const found = await keys.find(caller.tenantId, id);
    if (found === undefined) throw new OrchestratorError('not_found', 'API key not found');
    return found;
  }

  return {
    async create({ caller, access }, { name, roles, scopes, expires_in_seconds: expiresInSeconds }) {
      rejectUnknownScopes(scopes ?? []);
      rejectEscalation({ caller, access }, { roles, scopes });
      const key = makeApiKey(deps.random);
      const { tenantId, userId: createdBy } = caller;
      const shown = { id: deps.newId(), tenantId, name, prefix: prefixOfKey(key), createdBy };
      const made = { ...shown, hash: hashOfKey(key), roles, scopes, expiresInSeconds };
      const apiKey = await keys.create(made, MAX_PER_TENANT);
      if (apiKey === undefined) {
        throw new OrchestratorError(
          'conflict',
          `There are ${MAX_PER_TENANT} API keys already, which is all there may be`,
        );
      }
      return { apiKey, key };
    },
    list: ({ tenantId }, page, pageSize) => keys.list(tenantId, page, pageSize),
    get: find,
    async rotate(grantor, id, graceSeconds) {
      // Whoever replaces a key has it afterwards.
      rejectEscalation(grantor, await find(grantor.caller, id));
      const key = makeApiKey(deps.random);
      const fresh = { hash: hashOfKey(key), prefix: prefixOfKey(key), graceSeconds };
      const apiKey = await keys.rotate(grantor.caller.tenantId, id, fresh);
      if (apiKey === undefined) throw new OrchestratorError('conflict', 'The API key was revoked or its time is over');
      return { apiKey, key };
    },
    async revoke({ tenantId }, id) {
      if (!(await keys.revoke(tenantId, id))) throw new OrchestratorError('not_found', 'API key not found');
    },
  };
}

function rejectUnknownScopes(scopes: readonly string[]): void {
  const errors: FieldFault[] = scopes.flatMap((scope, at) =>
    isScope(scope) ? [] : [{ path: `scopes.${at}`, message: `'${scope}' is no permission and no <resource>:*` }],
  );
  if (errors.length === 0) return;
  throw new OrchestratorError('invalid_request', errors.map(({ message }) => message).join('; '), { errors });
}

function rejectEscalation({ caller, access }: Grantor, { roles, scopes }: Pick<ApiKey, 'roles' | 'scopes'>): void {
  const { tenantId } = caller;
  const granted: Access = { means: 'api_key', roles, scopes };
  const beyond = ALL_PERMISSIONS.filter(
    (permission) => allows({ tenantId, access: granted }, permission) && !allows({ tenantId, access }, permission),
  );
  if (beyond.length === 0) return;
  throw new OrchestratorError(
    'forbidden',
    `A key may do no more than who makes it; this one would have ${beyond.join(', ')} beyond that`,
  );
}
