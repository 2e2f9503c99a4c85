/**
 * The connections over which an API does what it does for one tenant. Each has the role that is subject to the policies,
 * and the tenant that it serves; it switches to another one when it is handed out for that one, so an installation with one
 * tenant pays nothing. Work that is nobody's alone goes over `everyTenant`, whose connections never change.
 */
import type pg from 'pg';
import { GrowingPool } from '../../postgres/growing-pool.ts';
import { ServingClient } from './payload-client.ts';
import { TENANT_ROLE, TENANT_SETTING } from './row-level-security.ts';

const SERVE = {
  name: 'serve-tenant',
  text: `SELECT set_config('role', '${TENANT_ROLE}', false), set_config('${TENANT_SETTING}', $1, false)`,
};
const NO_TRANSACTION = 'I';

type Callback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: boolean | Error) => void,
) => void;

export interface TenantPoolOptions {
  everyTenant: pg.Pool;
  tenant(): string | undefined;
  /** False: the database has no row-level security, and everything goes over `everyTenant`. */
  isEnforced(): Promise<boolean>;
}

export class TenantPool extends GrowingPool {
  readonly #options: TenantPoolOptions;
  /** A connection that is not in it has no tenant yet. */
  readonly #served = new WeakMap<pg.PoolClient, string>();

  constructor(config: pg.PoolConfig, options: TenantPoolOptions) {
    super(config);
    this.#options = options;
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: Callback): void;
  override connect(callback?: Callback): Promise<pg.PoolClient> | undefined {
    // Here and not later: when a connection is free, somebody else's request may be what goes on.
    const client = this.#connectFor(this.#options.tenant());
    if (callback === undefined) return client;
    client.then(
      (found) => callback(undefined, found, found.release),
      (error: Error) => callback(error, undefined, () => undefined),
    );
    return undefined;
  }

  async #connectFor(tenantId: string | undefined): Promise<pg.PoolClient> {
    if (tenantId === undefined || !(await this.#options.isEnforced())) return this.#options.everyTenant.connect();
    for (;;) {
      const client = await super.connect();
      // What is set within a transaction would be undone with it.
      if (client.getTransactionStatus() !== NO_TRANSACTION) client.release(true);
      else return this.#serve(client, tenantId);
    }
  }

  async #serve(client: pg.PoolClient, tenantId: string): Promise<pg.PoolClient> {
    if (this.#served.get(client) === tenantId) return client;
    this.#served.delete(client);
    try {
      await client.query({ ...SERVE, values: [tenantId] });
    } catch (error) {
      client.release(true);
      throw error;
    }
    this.#served.set(client, tenantId);
    if (client instanceof ServingClient) client.serve(tenantId);
    return client;
  }
}
