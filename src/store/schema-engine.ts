/**
 * Prisma's schema engine, compiled to WebAssembly: it applies migrations and compares schemas like the `prisma` command
 * does, without fetching a native program first.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlDriverAdapter,
} from '@prisma/driver-adapter-utils';
import type { SchemaEngine as Engine } from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { type SchemaName, schemaOf } from './connection-schema.ts';
import { forgetUnfinished, runScript } from './migration-script.ts';
import { SESSION } from './session.ts';

/** One folder below prisma/migrations. */
export interface Migration {
  name: string;
  sql: string;
}

export interface SchemaEngine {
  /** Applies those that `_prisma_migrations` does not have yet; their names. */
  apply(migrations: Migration[]): Promise<string[]>;
  /** The SQL that brings the database to `schema`; empty when it is there. */
  diff(schema: string): Promise<string>;
  close(): Promise<void>;
}

const require = createRequire(import.meta.url);
const NO_FILTER = { externalTables: [], externalEnums: [] };
const LOCKFILE = { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' };
const NOTHING_TO_DO = '-- This is an empty migration.';

/** The glue code's own start-up hooks, which its types leave out. */
interface WasmModule {
  SchemaEngine: typeof Engine;
  __wbg_set_wasm(exports: object): void;
}
/** In Node, but only in TypeScript's DOM types. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: Record<string, object>) => { exports: { __wbindgen_start(): void } };
};

export async function openSchemaEngine(databaseUrl: string, schema: string): Promise<SchemaEngine> {
  const wasm = await loadEngine();
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: 2,
    Client: CatalogueClient,
    application_name: 'migrate',
    // Scripts are written for it: what a backslash in a text means is in it.
    onConnect: (client): unknown => client.query(SESSION),
  });
  pool.on('error', () => undefined); // The statement in hand fails by itself.
  const failed = async (error: unknown) => {
    await pool.end();
    throw error;
  };
  const catalogue = new CatalogueAdapterFactory(pool, await schemaOf(pool).catch(failed));
  const factory = bindMigrationAwareSqlAdapterFactory(catalogue);
  const engine = await wasm.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => undefined,
    factory,
  ).catch(failed);
  return {
    async apply(migrations) {
      await forgetUnfinished(pool);
      const migrationDirectories = migrations.map(({ name, sql }) => ({
        path: name,
        migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value: sql } },
      }));
      const migrationsList = {
        baseDir: 'prisma/migrations',
        lockfile: LOCKFILE,
        shadowDbInitScript: '',
        migrationDirectories,
      };
      try {
        return (await engine.applyMigrations({ migrationsList, filters: NO_FILTER })).appliedMigrationNames;
      } catch (error) {
        // The engine says which migration it was, and nothing of what PostgreSQL answered.
        const { scriptFault } = catalogue;
        if (!(scriptFault instanceof Error)) throw error;
        throw new Error(`${scriptFault.message}\n${error}`, { cause: scriptFault });
      }
    },
    async diff(target) {
      const side = { files: [{ path: 'schema.prisma', content: target }], configDir: '.' };
      const { stdout } = await engine.diff({
        from: { tag: 'schemaDatasource', ...side },
        to: { tag: 'schemaDatamodel', ...side },
        script: true,
        exitCode: null,
        filters: NO_FILTER,
      });
      const sql = (stdout ?? '').trim();
      return sql === NOTHING_TO_DO ? '' : sql;
    },
    async close() {
      engine.free();
      await pool.end();
    },
  };
}

let loaded: Promise<WasmModule> | undefined;

function loadEngine(): Promise<WasmModule> {
  loaded ??= (async () => {
    // The package's entry imports its .wasm file, which Node cannot do by itself.
    const glue = (await import('@prisma/schema-engine-wasm/schema_engine_bg')) as unknown as WasmModule;
    const file = path.join(
      path.dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg')),
      'schema_engine_bg.wasm',
    );
    const module = new WebAssembly.Module(readFileSync(file));
    const instance = new WebAssembly.Instance(module, { './schema_engine_bg.js': glue });
    glue.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
    return glue;
  })();
  return loaded;
}

/**
 * The catalogue, which the engine reads, has columns of PostgreSQL's internal type "char". The adapter refuses these and the
 * engine insists on getting them as characters, so they pass the adapter as text and are declared as characters behind it.
 */
const INTERNAL_CHAR = 18;
const TEXT = 25;
const charColumns = new WeakMap<object, number[]>();

class CatalogueClient extends pg.Client {
  // As the pool calls it: (statement, values, callback); and as the adapter does: (statement), with a promise back.
  override query(...args: unknown[]): never {
    const ask = super.query.bind(this) as unknown as (...args: unknown[]) => unknown;
    const callback = args.at(-1);
    if (typeof callback === 'function') {
      return ask(...args.slice(0, -1), (error: unknown, result: unknown) =>
        callback(error, hideChars(result)),
      ) as never;
    }
    return Promise.resolve(ask(...args)).then(hideChars) as never;
  }
}

function hideChars(result: unknown): unknown {
  const { fields, rows } = (result ?? {}) as Partial<pg.QueryResult>;
  const found: number[] = [];
  for (const [index, field] of (fields ?? []).entries()) {
    if (field.dataTypeID !== INTERNAL_CHAR) continue;
    field.dataTypeID = TEXT;
    found.push(index);
  }
  if (rows !== undefined && found.length > 0) charColumns.set(rows, found);
  return result;
}

class CatalogueAdapterFactory extends PrismaPg {
  /** What the last script failed with. */
  scriptFault: unknown;
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool, schema: SchemaName) {
    super(pool, schema);
    this.#pool = pool;
  }

  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect();
    const queryRaw: SqlDriverAdapter['queryRaw'] = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      for (const index of charColumns.get(result.rows) ?? []) result.columnTypes[index] = ColumnTypeEnum.Character;
      return result;
    };
    // Its own splits at every semicolon, and each statement stands for itself.
    adapter.executeScript = async (script) => {
      try {
        await runScript(this.#pool, script);
      } catch (error) {
        this.scriptFault = error;
        throw error;
      }
    };
    return adapter;
  }
}
