/**
 * What executions are given, make and say, as it is kept: plain JSON, or sealed. Whoever writes such a value marks it
 * (`payload`), and the connection seals it where payloads are sealed; the connection opens what is sealed when a row is read.
 * So a statement knows of no key, and plain and sealed values may lie side by side.
 *
 * A sealed value is an object whose first key is `$enc`, with an envelope; of an error its `code` stays beside it, because
 * statements look for it. A value of somebody's own that has the key is kept as the only item of a list under it.
 */
import pg from 'pg';
import { OrchestratorError, UnreadablePayload } from '../domain/errors.ts';
import { isEnvelope, type Keyring } from '../engine/keyring.ts';
import type { Json } from '../schemas/json.ts';

export const SEALED_KEY = '$enc';
/** What the envelopes belong to. Not to a row: values are copied from one table to another within statements. */
export const PAYLOAD_CONTEXT: readonly string[] = ['payload'];

/** jsonb sorts keys by length, then by bytes: of all keys that are used beside it, this one comes first. */
const STORED_PREFIX = `{"${SEALED_KEY}": `;
const WRITTEN_PREFIX = `{"${SEALED_KEY}":`;
const JSONB = 3802;

/** What an adapter calls a code may be anything. */
const CODE = /^[A-Za-z0-9_.-]{1,64}$/;

type Seal = (json: string) => string;

export interface Payloads {
  /** Undefined: values are written as they are. */
  seal: Seal | undefined;
  open(envelope: string): string;
}

export function createPayloads(keyring: Keyring | undefined, seals: boolean, now: () => number): Payloads {
  const open = keyring?.opener(PAYLOAD_CONTEXT);
  return {
    seal: seals ? keyring?.sealer(PAYLOAD_CONTEXT, now) : undefined,
    open(envelope) {
      if (open === undefined) {
        throw new UnreadablePayload(
          'payload_key_missing',
          'What is needed is encrypted, and SECRETS_KEY of this process is not set',
        );
      }
      try {
        return open(envelope);
      } catch (error) {
        if (!(error instanceof OrchestratorError)) throw error;
        const missing = error.code === 'encryption_key_missing';
        throw new UnreadablePayload(missing ? 'payload_key_missing' : 'payload_unreadable', error.message, error);
      }
    },
  };
}

/** A value in the parameters of a statement that is sealed on its way. */
export class Payload {
  readonly #text: string;
  readonly #kind: 'json' | 'error' | 'text';
  constructor(text: string, kind: 'json' | 'error' | 'text') {
    this.#text = text;
    this.#kind = kind;
  }
  sealed(seal: Seal): string {
    const json = this.#kind === 'text' ? JSON.stringify(this.#text) : this.#text;
    const code = this.#kind === 'error' ? codeOf(JSON.parse(json)) : undefined;
    return JSON.stringify({ [SEALED_KEY]: seal(json), ...(code === undefined ? {} : { code }) });
  }
  /** For node-postgres. */
  toPostgres(): string {
    const text = this.#text;
    if (this.#kind !== 'text') return escaped(text);
    return text.startsWith(WRITTEN_PREFIX) ? JSON.stringify({ [SEALED_KEY]: [text] }) : text;
  }
}

/** Of JSON text, for a column of type jsonb. */
export function payload(json: string | null): Payload | null {
  return json === null ? null : new Payload(json, 'json');
}

/** Of JSON text of an error, whose code is not hidden. */
export function errorPayload(json: string | null): Payload | null {
  return json === null ? null : new Payload(json, 'error');
}

/** For a column of type text, which is read by `readText`. */
export function textPayload(text: string | null): Payload | null {
  return text === null ? null : new Payload(text, 'text');
}

/** In a statement: such a column as jsonb. */
export function readText(column: string): string {
  return `CASE WHEN starts_with(${column}, '${WRITTEN_PREFIX}') THEN ${column}::jsonb ELSE to_jsonb(${column}) END`;
}

/** In the settings of a pool: its connections seal what is marked and open what is sealed. */
export function payloadSettings(payloads: Payloads): Pick<pg.PoolConfig, 'types' | 'Client'> {
  const parse = (text: string) => parsePayload(payloads, text);
  const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
    oid === JSONB && format !== 'binary' ? parse : pg.types.getTypeParser(oid, format as 'text'); // Overloads: either.
  const { seal } = payloads;
  return { types: { getTypeParser }, ...(seal === undefined ? {} : { Client: sealingClient(seal) }) };
}

/** What jsonb prints, as a value. */
export function parsePayload(payloads: Pick<Payloads, 'open'>, text: string): Json {
  const stored = JSON.parse(text);
  if (!text.startsWith(STORED_PREFIX)) return stored;
  const kept: unknown = stored[SEALED_KEY];
  if (Array.isArray(kept)) return kept[0];
  // Of somebody's own, from before the key was reserved.
  if (typeof kept !== 'string' || !isEnvelope(kept)) return stored;
  return JSON.parse(payloads.open(kept));
}

function escaped(json: string): string {
  if (!json.includes(`"${SEALED_KEY}"`)) return json;
  const value: unknown = JSON.parse(json);
  const has = typeof value === 'object' && value !== null && Object.hasOwn(value, SEALED_KEY);
  return has ? `{"${SEALED_KEY}":[${json}]}` : json;
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' && CODE.test(error.code) ? error.code : undefined;
}

function sealingClient(seal: Seal): NonNullable<pg.PoolConfig['Client']> {
  const sealOne = (value: unknown) => (value instanceof Payload ? value.sealed(seal) : value);
  const sealAll = (values: readonly unknown[]) =>
    values.map((value) => (Array.isArray(value) ? value.map(sealOne) : sealOne(value)));
  return class SealingClient extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super(config);
      const query = this.query.bind(this) as (...args: unknown[]) => unknown; // All of its overloads.
      const sealing = (first: unknown, second?: unknown, ...rest: unknown[]) => {
        if (Array.isArray(second)) return query(first, sealAll(second), ...rest);
        if (hasValues(first)) return query({ ...first, values: sealAll(first.values) }, second, ...rest);
        return query(first, second, ...rest);
      };
      this.query = sealing as typeof this.query;
    }
  };
}

/** A statement with its parameters, and not an object that sends itself. */
function hasValues(statement: unknown): statement is { values: unknown[] } {
  if (typeof statement !== 'object' || statement === null || 'submit' in statement) return false;
  return 'values' in statement && Array.isArray(statement.values);
}
