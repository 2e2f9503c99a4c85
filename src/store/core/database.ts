/** The connections to PostgreSQL: one pool, used by Prisma and by the hot statements alike. */
import type pg from 'pg';
import { GrowingPool } from '../../postgres/growing-pool.ts';
import { retryDeadlocks } from '../../postgres/retry-deadlocks.ts';
import { PrismaClient } from '../generated/client.ts';
import { openingPayloads } from '../payloads/payload-extension.ts';
import { createPayloads, type Payloads } from '../payloads/payloads.ts';
import { observedClient, type StatementObserver } from './observed-client.ts';
import { payloadSettings } from './payload-client.ts';
import { prismaAdapter } from './prisma-adapter.ts';
import { discardReadOnly } from './read-only-connections.ts';
import { READ_VERSION, requireSupported, UnsupportedServer, type VersionRow } from './server-version.ts';
import { SESSION } from './session.ts';
import { TenantPool, type TenantPoolOptions } from './tenant-pool.ts';

/**
 * The hot statements reach a few rows by their keys. The planner cannot know how few a list that is a parameter names, nor
 * how fast the tables grow, and would keep plans that read whole tables, or compile them. Lists over many rows lose nothing
 * by it (docs/decisions/0015-history-in-weeks.md). Set by a statement: a pooler between may reject it as a start-up option.
 */
const BY_KEY = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
  .map((name) => `SET ${name} = off`)
  .join('; ');

/**
 * A process that is stopped, or cut off, in the middle of a transaction releases its locks after that: no row, and not
 * the lock of the reconciler, may wait for whether it ever wakes.
 */
export const IDLE_IN_TRANSACTION_MS = 10_000;
const IDLE_LIMIT = `SET idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`;

/** No request takes so long: its caller has gone by then, and the locks must not stay. */
export const LONGEST_STATEMENT_MS = 120_000;

/** Callers get an error that says to retry, rather than wait for a table that somebody else has locked. */
export const LONGEST_LOCK_WAIT_MS = 4_000;

const WAIT_FOR_CONNECTION_MS = 5_000;

export interface Database {
  /** Within the scope of a tenant: for that tenant alone, as long as the database has row-level security. */
  pool: pg.Pool;
  /** For what is done for several tenants together, whoever requests it. */
  everyTenant: pg.Pool;
  /** Of all pools together. */
  connections: Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount'> & { options: { max: number } };
  prisma: PrismaClient;
  /** Resolves, to a sentence, when a connection meets a server that is not supported: another one than at the start. */
  unsupported: Promise<string>;
  /** What is open now is not used again. */
  renewConnections(): void;
  close(): Promise<void>;
}

/** What a store uses: rows through the client, statements through the pool; both for the tenant whose work it is. */
export type Clients = Pick<Database, 'pool' | 'prisma'>;

export function openDatabase(
  url: string,
  options: {
    max?: number;
    name: string;
    onError(error: Error): void;
    /** Left out: there is no scope, and all work is for everybody. */
    rowLevelSecurity?: Omit<TenantPoolOptions, 'everyTenant'>;
    longestStatementMs?: number;
    /**
     * For a process that runs the same few statements again and again: a connection plans each of them once, and not again
     * for each set of parameters. Left out: PostgreSQL decides.
     */
    plansOnce?: boolean;
    /** Observes every statement. */
    statements?: StatementObserver;
    longestLockWaitMs?: number;
    /** Left out: payloads are written as they are, and those that are sealed cannot be read. */
    payloads?: Payloads;
  },
): Database {
  const payloads = options.payloads ?? createPayloads(undefined, false, Date.now);
  const { Client } = payloadSettings(payloads);
  const plans = options.plansOnce === true ? 'SET plan_cache_mode = force_generic_plan; ' : '';
  const longest = `SET statement_timeout = ${options.longestStatementMs ?? 0}; SET lock_timeout = ${options.longestLockWaitMs ?? 0}`;
  let met: (sentence: string) => void = () => undefined;
  const unsupported = new Promise<string>((resolve) => {
    met = resolve;
  });
  const settings: pg.PoolConfig = {
    Client: options.statements === undefined ? Client : observedClient(Client, options.statements),
    connectionString: url,
    max: options.max ?? 10,
    application_name: options.name,
    // Awaited before the connection is handed out.
    async onConnect(client) {
      // A server that is not supported answers nobody, also one that has replaced another since the start.
      const results: unknown = await client.query(
        `${SESSION}; ${BY_KEY}; ${plans}${IDLE_LIMIT}; ${longest}; ${READ_VERSION}`,
      );
      try {
        requireSupported((results as Array<pg.QueryResult<VersionRow>>).at(-1)?.rows[0]); // One for each statement.
      } catch (error) {
        if (error instanceof UnsupportedServer) met(error.message);
        throw error;
      }
    },
    connectionTimeoutMillis: WAIT_FOR_CONNECTION_MS,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
  };
  const everyTenant = new GrowingPool(settings);
  const pool =
    options.rowLevelSecurity === undefined
      ? everyTenant
      : new TenantPool(settings, { ...options.rowLevelSecurity, everyTenant });
  const pools = new Set([everyTenant, pool]);
  const discarding = [...pools].map(discardReadOnly);
  for (const each of pools) {
    retryDeadlocks(each);
    // An idle connection that the server drops must not end the process.
    each.on('error', options.onError);
    // Nor may one that is in use by a transaction between two statements: the pool listens to idle ones only.
    each.on('connect', (client) => client.on('error', options.onError));
  }
  const client = new PrismaClient({
    adapter: prismaAdapter(pool),
    // As long as everybody waits for a connection.
    transactionOptions: { maxWait: WAIT_FOR_CONNECTION_MS },
  });
  const prisma = openingPayloads(client, payloads, () => options.rowLevelSecurity?.tenant());
  return {
    pool,
    everyTenant,
    connections: together([...pools]),
    prisma,
    unsupported,
    renewConnections() {
      for (const each of discarding) each.renew();
    },
    async close() {
      await prisma.$disconnect();
      await Promise.all([...pools].map((each) => each.end()));
    },
  };
}

function together(pools: readonly GrowingPool[]): Database['connections'] {
  const sum = (count: (pool: GrowingPool) => number) => pools.reduce((all, pool) => all + count(pool), 0);
  return {
    get totalCount() {
      return sum((pool) => pool.totalCount);
    },
    get idleCount() {
      return sum((pool) => pool.idleCount);
    },
    get waitingCount() {
      return sum((pool) => pool.waitingCount);
    },
    options: { max: sum((pool) => pool.limit) },
  };
}
