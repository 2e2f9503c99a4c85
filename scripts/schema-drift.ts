/**
 * For development: the SQL that is missing between a database and `schema.prisma`, as `prisma migrate diff` says it. That
 * command fetches a native program first, so this asks the same schema engine, compiled to WebAssembly. The program applies
 * its migrations without it (src/store/migrations/migrate.ts).
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  type ColumnType,
  ColumnTypeEnum,
  type SqlDriverAdapter,
} from '@prisma/driver-adapter-utils';
import type { SchemaEngine } from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { projectRoot } from '../src/project-root.ts';
import { schemaOf } from '../src/store/core/connection-schema.ts';
import { SESSION } from '../src/store/core/session.ts';

const SCHEMA = path.join(projectRoot(), 'prisma', 'schema.prisma');
const NOTHING_TO_DO = '-- This is an empty migration.';
const require = createRequire(import.meta.url);

/** The glue code's own start-up hooks, which its types leave out. */
interface WasmModule {
  SchemaEngine: typeof SchemaEngine;
  __wbg_set_wasm(exports: object): void;
}
/** In Node, but only in TypeScript's DOM types. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: Record<string, object>) => { exports: { __wbindgen_start(): void } };
};

/** Empty when they agree. The engine leaves a timer of ten seconds behind. */
export async function schemaDrift(databaseUrl: string): Promise<string> {
  const [schema, wasm] = await Promise.all([readFile(SCHEMA, 'utf8'), loadEngine()]);
  const side = { files: [{ path: 'schema.prisma', content: schema }], configDir: '.' };
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: 1,
    onConnect: (client): unknown => client.query(SESSION),
  });
  try {
    const catalogue = bindMigrationAwareSqlAdapterFactory(new Catalogue(pool, await schemaOf(pool)));
    const engine = await wasm.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => undefined, catalogue);
    const { stdout } = await engine.diff({
      from: { tag: 'schemaDatasource', ...side },
      to: { tag: 'schemaDatamodel', ...side },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    });
    engine.free();
    const sql = (stdout ?? '').trim();
    return sql === NOTHING_TO_DO ? '' : sql;
  } finally {
    await pool.end();
  }
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

/** What the catalogue of PostgreSQL answers with; all else is text. */
const TYPES: Readonly<Record<number, ColumnType>> = {
  16: ColumnTypeEnum.Boolean,
  18: ColumnTypeEnum.Character, // The internal "char", which Prisma's own adapter refuses and its engine asks for.
  20: ColumnTypeEnum.Int64,
  21: ColumnTypeEnum.Int32,
  23: ColumnTypeEnum.Int32,
  26: ColumnTypeEnum.Int64,
  1003: ColumnTypeEnum.TextArray,
  1009: ColumnTypeEnum.TextArray,
};

class Catalogue extends PrismaPg {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool, schema: { schema?: string }) {
    super(pool, schema);
    this.#pool = pool;
  }

  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect();
    const queryRaw: SqlDriverAdapter['queryRaw'] = async ({ sql, args }) => {
      const { fields, rows } = await this.#pool.query<unknown[]>({ text: sql, values: args, rowMode: 'array' });
      return {
        columnNames: fields.map(({ name }) => name),
        columnTypes: fields.map(({ dataTypeID }) => TYPES[dataTypeID] ?? ColumnTypeEnum.Text),
        rows,
      };
    };
    return Object.assign(adapter, { queryRaw });
  }
}
