/**
 * Opens sealed payloads in the rows that the Prisma client reads. The client takes what the driver gives it as text, past the
 * connections that open them for our own statements. Whose a row is says the tenant whose work it is, or else the row itself,
 * where its `tenantId` is selected. Rows that are included by a relation are not opened.
 */
import type { Json } from '../../schemas/json.ts';
import { Prisma, type PrismaClient } from '../generated/client.ts';
import { PAYLOAD_COLUMNS } from './payload-columns.ts';
import { openStored, type Payloads, SEALED_KEY, WRITTEN_PREFIX } from './payloads.ts';

export interface PayloadFields {
  json: readonly string[];
  text: readonly string[];
}

/** By model, as its fields are called. */
export const PAYLOAD_FIELDS: ReadonlyMap<string, PayloadFields> = new Map(
  Object.entries(PAYLOAD_COLUMNS).map(([table, { json, text = [] }]) => [
    modelOf(table),
    { json: json.map(fieldOf), text: text.map(fieldOf) },
  ]),
);

/** `tenant`: whose work it is; undefined: nobody's alone. */
export function openingPayloads(
  client: PrismaClient,
  payloads: Pick<Payloads, 'open'>,
  tenant: () => string | undefined,
): PrismaClient {
  const extended = client.$extends(
    Prisma.defineExtension({
      name: 'payloads',
      query: {
        $allModels: {
          async $allOperations({ model, args, query }) {
            const fields = PAYLOAD_FIELDS.get(model);
            if (fields === undefined) return query(args);
            rejectPayloads(model, fields, args);
            const served = tenant();
            const result: unknown = await query(args);
            for (const row of Array.isArray(result) ? result : [result]) openRow(payloads, fields, row, served);
            return result;
          },
        },
      },
    }),
  );
  // Nothing is taken from it or added to it that a type could tell.
  return extended as unknown as PrismaClient;
}

/** They are written by statements that mark them, and whose connection seals them. */
function rejectPayloads(model: string, { json, text }: PayloadFields, args: unknown): void {
  const { data, create, update } = Object(args) as { data?: unknown; create?: unknown; update?: unknown };
  for (const row of [data, create, update].flat()) {
    const field = [...json, ...text].find((name) => Object.hasOwn(Object(row), name));
    if (field !== undefined) throw new Error(`${model}.${field} may have to be sealed, which the client does not do`);
  }
}

/** In place: the rows are this query's own. */
function openRow(
  payloads: Pick<Payloads, 'open'>,
  { json, text }: PayloadFields,
  row: unknown,
  served: string | undefined,
): void {
  if (typeof row !== 'object' || row === null) return;
  const named: unknown = Reflect.get(row, 'tenantId');
  const tenantId = served ?? (typeof named === 'string' ? named : undefined);
  for (const field of json) {
    const stored = Reflect.get(row, field) as Json | undefined; // As the column's type says.
    if (isMarked(stored)) Reflect.set(row, field, openStored(payloads, stored, tenantId));
  }
  for (const field of text) {
    const stored: unknown = Reflect.get(row, field);
    if (typeof stored !== 'string' || !stored.startsWith(WRITTEN_PREFIX)) continue;
    Reflect.set(row, field, openStored(payloads, JSON.parse(stored), tenantId));
  }
}

function isMarked(stored: Json | undefined): stored is { [key: string]: Json } {
  return (
    typeof stored === 'object' && stored !== null && !Array.isArray(stored) && Object.keys(stored)[0] === SEALED_KEY
  );
}

function fieldOf(column: string): string {
  return column.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function modelOf(table: string): string {
  return table.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
