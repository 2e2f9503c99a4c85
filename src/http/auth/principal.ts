import type { Access } from '../../domain/access.ts';

/** Whoever credentials stand for. */
export interface Principal {
  userId: string;
  tenantId: string;
  access: Access;
  /** Of a token that says so. */
  issuer?: string | undefined;
}
