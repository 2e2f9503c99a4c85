/** The store of the secrets of tenants. Values come and go as envelopes: the store never sees one. */

export interface SecretView {
  name: string;
  /** Undefined: it may go anywhere that the outbound policy lets it. */
  hosts: string[] | undefined;
  description: string | null;
  version: number;
  createdBy: string;
  updatedBy: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface SealedSecret {
  name: string;
  version: number;
  hosts: string[] | undefined;
  envelope: string;
}

/** A secret as a task gets it. */
export interface TaskSecret {
  name: string;
  value: string;
  hosts: readonly string[] | undefined;
}

export interface SecretChange {
  tenantId: string;
  name: string;
  /** One more than that of the row that is there; 1 when there is none. Else nothing is written. */
  version: number;
  envelope: string;
  /** Undefined: as they are. null: none. */
  hosts: string[] | null | undefined;
  description: string | null | undefined;
  by: string;
}

export interface SecretStore {
  /** 0: there is none of that name. `total`: of the tenant. */
  standing(tenantId: string, name: string): Promise<{ version: number; total: number }>;
  /** Undefined: another one was faster. */
  write(change: SecretChange): Promise<SecretView | undefined>;
  list(tenantId: string, page: number, pageSize: number): Promise<{ items: SecretView[]; total: number }>;
  find(tenantId: string, name: string): Promise<SecretView | undefined>;
  remove(tenantId: string, name: string): Promise<boolean>;
  /** For the workers. */
  sealed(tenantId: string, names: readonly string[]): Promise<SealedSecret[]>;
}

/** What the envelope of a secret belongs to. */
export function secretContext(tenantId: string, name: string, version: number): string[] {
  return ['secret', tenantId, name, String(version)];
}

export interface SecretsOfTasks {
  /** Throws `secret_unknown`, which names the first one that is not there. */
  of(tenantId: string, names: readonly string[]): Promise<ReadonlyMap<string, TaskSecret>>;
  /** Some secret has changed. */
  forget(): void;
}
