/**
 * The payloads of executions (inputs, outputs, messages) as they are stored: plain JSON, or sealed. Who writes a value marks
 * it (`payload`), and the connection seals it where payloads are sealed; the connection opens what is sealed when a row is
 * read. So a statement knows of no key, and plain and sealed values may lie side by side.
 *
 * A sealed value is an object whose first key is `$enc`, with an envelope; of an error its `code` stays beside it, because
 * statements look for it. A value of somebody's own that has the key is stored as the only item of a list under it.
 */
import { OrchestratorError, UnreadablePayload } from '../../domain/errors.ts';
import { isEnvelope, type Keyring } from '../../engine/keyring.ts';
import type { Json } from '../../schemas/json.ts';

export const SEALED_KEY = '$enc';
/** What the envelopes belong to, beside the tenant. Not to a row: values are copied from one table to another within statements. */
export const PAYLOAD_CONTEXT: readonly string[] = ['payload'];

/** jsonb sorts keys by length, then by bytes: of all keys that are used beside it, this one comes first. */
export const STORED_PREFIX = `{"${SEALED_KEY}": `;
export const WRITTEN_PREFIX = `{"${SEALED_KEY}":`;

/** What an adapter calls a code may be anything. */
const CODE = /^[A-Za-z0-9_.-]{1,64}$/;

type Seal = (json: string, tenantId: string | undefined) => string;

export interface Payloads {
  /** Undefined: values are written as they are. */
  seal: Seal | undefined;
  /** Rejects what another tenant than this one owns; undefined: nobody knows whose it has to be. */
  open(envelope: string, tenantId: string | undefined): string;
}

export function createPayloads(keyring: Keyring | undefined, seals: boolean, now: () => number): Payloads {
  const open = keyring?.opener(PAYLOAD_CONTEXT);
  return {
    seal: seals ? keyring?.sealer(PAYLOAD_CONTEXT, now) : undefined,
    open(envelope, tenantId) {
      if (open === undefined) {
        throw new UnreadablePayload(
          'payload_key_missing',
          'What is needed is encrypted, and SECRETS_KEY of this process is not set',
        );
      }
      try {
        return open(envelope, tenantId);
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
  readonly #tenantId: string | undefined;
  constructor(text: string, kind: 'json' | 'error' | 'text', tenantId: string | undefined) {
    this.#text = text;
    this.#kind = kind;
    this.#tenantId = tenantId;
  }
  sealed(seal: Seal): string {
    const json = this.#kind === 'text' ? JSON.stringify(this.#text) : this.#text;
    const code = this.#kind === 'error' ? codeOf(JSON.parse(json)) : undefined;
    return JSON.stringify({ [SEALED_KEY]: seal(json, this.#tenantId), ...(code === undefined ? {} : { code }) });
  }
  /** For node-postgres. */
  toPostgres(): string {
    const text = this.#text;
    if (this.#kind !== 'text') return escaped(text);
    return text.startsWith(WRITTEN_PREFIX) ? JSON.stringify({ [SEALED_KEY]: [text] }) : text;
  }
}

/** Of JSON text, for a column of type jsonb of a row of that tenant. */
export function payload(json: string | null, tenantId: string | undefined): Payload | null {
  return json === null ? null : new Payload(json, 'json', tenantId);
}

/** Of JSON text of an error, whose code is not hidden. */
export function errorPayload(json: string | null, tenantId: string | undefined): Payload | null {
  return json === null ? null : new Payload(json, 'error', tenantId);
}

/** For a column of type text, which is read by `readText`. */
export function textPayload(text: string | null, tenantId: string | undefined): Payload | null {
  return text === null ? null : new Payload(text, 'text', tenantId);
}

/** In a statement: such a column as jsonb. */
export function readText(column: string): string {
  return `CASE WHEN starts_with(${column}, '${WRITTEN_PREFIX}') THEN ${column}::jsonb ELSE to_jsonb(${column}) END`;
}

/** What jsonb prints, as a value. */
export function parsePayload(payloads: Pick<Payloads, 'open'>, text: string, tenantId: string | undefined): Json {
  const stored = storedPayload(text);
  return stored instanceof Unopened ? stored.open(payloads, tenantId) : stored;
}

/** A sealed value, before it is known whose row it lies in. */
export class Unopened {
  readonly #envelope: string;
  constructor(envelope: string) {
    this.#envelope = envelope;
  }
  open(payloads: Pick<Payloads, 'open'>, tenantId: string | undefined): Json {
    return JSON.parse(payloads.open(this.#envelope, tenantId));
  }
}

export function storedPayload(text: string): Json | Unopened {
  const stored = JSON.parse(text);
  return text.startsWith(STORED_PREFIX) ? unmarked(stored) : stored;
}

/** What stands in a column, parsed, with the key as its first. */
export function openStored(
  payloads: Pick<Payloads, 'open'>,
  stored: { [key: string]: Json },
  tenantId: string | undefined,
): Json {
  const found = unmarked(stored);
  return found instanceof Unopened ? found.open(payloads, tenantId) : found;
}

function unmarked(stored: { [key: string]: Json }): Json | Unopened {
  const sealed: unknown = stored[SEALED_KEY];
  if (Array.isArray(sealed)) return sealed[0];
  // Of somebody's own, from before the key was reserved.
  if (typeof sealed !== 'string' || !isEnvelope(sealed)) return stored;
  return new Unopened(sealed);
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
