/** What the use cases of API keys need of the store. All times are the database's. */
import type { Role } from '../../domain/access.ts';

export interface ApiKey {
  id: string;
  tenantId: string;
  name: string;
  prefix: string;
  roles: readonly Role[];
  /** Undefined: whatever the roles allow. */
  scopes: readonly string[] | undefined;
  expiresAt: Date | null;
  createdBy: string;
  createdAt: Date;
  rotatedAt: Date | null;
  /** The key before is valid until then. */
  previousUntil: Date | null;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

export interface NewApiKey {
  id: string;
  tenantId: string;
  name: string;
  prefix: string;
  hash: Buffer;
  roles: readonly Role[];
  scopes: readonly string[] | undefined;
  expiresInSeconds: number | undefined;
  createdBy: string;
}

export interface ApiKeyStore {
  /** Undefined: the tenant has `limit` keys already. */
  create(key: NewApiKey, limit: number): Promise<ApiKey | undefined>;
  list(tenantId: string, page: number, pageSize: number): Promise<{ items: ApiKey[]; total: number }>;
  find(tenantId: string, id: string): Promise<ApiKey | undefined>;
  /** The present key stays valid for `graceSeconds`. Undefined: there is none, or it is over. */
  rotate(
    tenantId: string,
    id: string,
    fresh: { hash: Buffer; prefix: string; graceSeconds: number },
  ): Promise<ApiKey | undefined>;
  /** False: there is no such key. */
  revoke(tenantId: string, id: string): Promise<boolean>;
}

export interface FoundKey extends Pick<ApiKey, 'id' | 'tenantId' | 'roles' | 'scopes'> {
  hash: Buffer;
  /** For how long it is valid yet, at most. */
  remainingMs: number;
}

/** Of all tenants: the key says which one. */
export interface ApiKeyDirectory {
  /** A key that is valid now. */
  lookUp(hash: Buffer): Promise<FoundKey | undefined>;
  used(ids: readonly string[]): Promise<void>;
}
