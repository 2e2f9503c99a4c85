/**
 * The connections that seal payloads on their way and open those that are read. An envelope names the tenant that it was
 * sealed for and is authenticated with it, so one that lies in a row of another tenant must not be opened. Whose a row is
 * says the connection, where it serves one tenant, or else the row itself, where the statement reads its `tenant_id`, under
 * that name or that of the model.
 */
import pg from 'pg';
import type { Json } from '../../schemas/json.ts';
import { Payload, type Payloads, parsePayload, storedPayload, Unopened } from '../payloads/payloads.ts';

const JSONB = 3802;

/** What `pg.Client` calls them. */
type Types = pg.CustomTypesConfig;

/** A connection for which the tenant whose rows it reads and writes can be set. */
export class ServingClient extends pg.Client {
  readonly #serving: { tenantId?: string | undefined };
  constructor(config: pg.ClientConfig, serving: { tenantId?: string | undefined }) {
    super(config);
    this.#serving = serving;
  }
  serve(tenantId: string | undefined): void {
    this.#serving.tenantId = tenantId;
  }
}

/** In the settings of a pool. */
export function payloadSettings(payloads: Payloads): { Client: new (config?: pg.ClientConfig) => pg.Client } {
  const { seal } = payloads;
  return {
    Client: class extends ServingClient {
      constructor(config?: pg.ClientConfig) {
        const serving: { tenantId?: string | undefined } = {};
        // Where nothing is sealed no statement pays for a check of its rows, only for what its connection knows.
        const parse =
          seal === undefined
            ? (text: string) => parsePayload(payloads, text, serving.tenantId)
            : (text: string) => storedPayload(text);
        super({ ...config, types: typesWith(parse) }, serving);
        if (seal !== undefined) sealStatements(this, payloads, seal, serving);
      }
    },
  };
}

function typesWith(parse: (text: string) => unknown): Types {
  const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
    oid === JSONB && format !== 'binary' ? parse : pg.types.getTypeParser(oid, format as 'text'); // Overloads: either.
  return { getTypeParser };
}

function sealStatements(
  client: pg.Client,
  payloads: Payloads,
  seal: NonNullable<Payloads['seal']>,
  serving: Readonly<{ tenantId?: string | undefined }>,
): void {
  const sealFor = (json: string, tenantId: string | undefined) => seal(json, tenantId ?? serving.tenantId);
  const sealOne = (value: unknown) => (value instanceof Payload ? value.sealed(sealFor) : value);
  const sealAll = (values: readonly unknown[]) =>
    values.map((value) => (Array.isArray(value) ? value.map(sealOne) : sealOne(value)));
  const opened = <T>(results: T): T => {
    for (const result of Array.isArray(results) ? results : [results]) {
      for (const row of rowsOf(result)) openRow(payloads, row, serving.tenantId);
    }
    return results;
  };
  const query = client.query.bind(client) as (...args: unknown[]) => unknown; // All of its overloads.
  const sealing = (first: unknown, ...others: unknown[]) => {
    const [second, ...rest] = others.map((one) => (isCallback(one) ? openingCallback(one, opened) : one));
    const made = Array.isArray(second)
      ? query(first, sealAll(second), ...rest)
      : query(hasValues(first) ? { ...first, values: sealAll(first.values) } : first, second, ...rest);
    return made instanceof Promise ? made.then(opened) : made;
  };
  client.query = sealing as typeof client.query;
}

/** In place: the rows are this statement's own. */
export function openRow(payloads: Pick<Payloads, 'open'>, row: object, served: string | undefined): void {
  for (const [name, value] of Object.entries(row)) {
    if (value instanceof Unopened) Reflect.set(row, name, value.open(payloads, served ?? tenantOf(row)) satisfies Json);
  }
}

function tenantOf(row: object): string | undefined {
  const named: unknown = Reflect.get(row, 'tenant_id') ?? Reflect.get(row, 'tenantId');
  return typeof named === 'string' ? named : undefined;
}

type Callback = (error: unknown, result: unknown) => void;

function isCallback(value: unknown): value is Callback {
  return typeof value === 'function';
}

function openingCallback(callback: Callback, opened: <T>(results: T) => T): Callback {
  return (error, result) => {
    if (error !== null && error !== undefined) return callback(error, result);
    let read: unknown;
    try {
      read = opened(result);
    } catch (unreadable) {
      return callback(unreadable, undefined);
    }
    return callback(error, read);
  };
}

function rowsOf(result: unknown): object[] {
  if (typeof result !== 'object' || result === null || !('rows' in result)) return [];
  return Array.isArray(result.rows) ? result.rows : [];
}

/** A statement with its parameters, and not an object that sends itself. */
function hasValues(statement: unknown): statement is { values: unknown[] } {
  if (typeof statement !== 'object' || statement === null || 'submit' in statement) return false;
  return 'values' in statement && Array.isArray(statement.values);
}
