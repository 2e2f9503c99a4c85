/**
 * Encryption of stored values: envelopes. Each value has a data key of its own (AES-256-GCM), and that is wrapped by a master
 * key of the installation, so a change of the master key rewrites a few bytes and not the value. What the value belongs to
 * (tenant, name, version) is authenticated with it: an envelope that is moved to another row cannot be opened.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { OrchestratorError } from '../domain/errors.ts';

export interface Keyring {
  /** Names the key that new envelopes are sealed with. */
  readonly newest: string;
  seal(plain: string, belongsTo: readonly string[]): string;
  /** Throws `encryption_key_missing`, or `unreadable_envelope` when it is incomplete or belongs to something else. */
  open(envelope: string, belongsTo: readonly string[]): string;
  /** Under the newest key; the same text when it is already. */
  rewrap(envelope: string, belongsTo: readonly string[]): string;
  /**
   * For many values: they share a data key, which is wrapped once and changed from time to time. `now`: any milliseconds.
   * A value with an owner is authenticated with it, and its envelope names it.
   */
  sealer(belongsTo: readonly string[], now: () => number): (plain: string, owner?: string) => string;
  /** As `open`, and remembers the data keys that it has unwrapped. With an owner, rejects what names another one. */
  opener(belongsTo: readonly string[]): (envelope: string, owner?: string) => string;
}

/**
 * `enc:v1:<key id>:<wrapped data key>:<value>`, and with an owner `:<owner>` behind it. A program that knows of no owners
 * rejects the longer one; another first word it would take for a plain value.
 */
const PREFIX = 'enc:v1:';
export const ENVELOPE_PREFIX = PREFIX;
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[0-9a-f]{16}$/;
/** Of one data key. Nonces are random: far below the 2^32 after which two of them could be alike. */
const MAX_USES = 2 ** 20;
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const DATA_KEYS_REMEMBERED = 1_000;

export function isEnvelope(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** The first key seals, all of them open. Undefined: there are none. */
export function createKeyring(
  keys: readonly string[],
  random: (bytes: number) => Buffer = randomBytes,
): Keyring | undefined {
  const byId = new Map(keys.map((text) => Buffer.from(text, 'base64')).map((key) => [idOf(key), key]));
  const [first] = byId;
  if (first === undefined) return undefined;
  const [newest, newestKey] = first;

  const wrap = (dataKey: Buffer, belongsTo: readonly string[]) =>
    encrypt(newestKey, dataKey, context('key', newest, belongsTo), random);

  function unwrap({ keyId, wrapped }: Envelope, belongsTo: readonly string[]): Buffer {
    const key = byId.get(keyId);
    if (key === undefined) {
      throw new OrchestratorError(
        'encryption_key_missing',
        `What is needed is encrypted with the key ${keyId}, which SECRETS_KEY does not hold`,
      );
    }
    return decrypt(key, wrapped, context('key', keyId, belongsTo));
  }

  const ring: Keyring = {
    newest,
    seal(plain, belongsTo) {
      const dataKey = random(KEY_BYTES);
      const body = encrypt(dataKey, Buffer.from(plain, 'utf8'), context('value', '', belongsTo), random);
      return `${PREFIX}${newest}:${wrap(dataKey, belongsTo)}:${body}`;
    },
    open(text, belongsTo) {
      const envelope = parse(text);
      const aad = ownedContext(belongsTo, envelope.owner);
      return decrypt(unwrap(envelope, belongsTo), envelope.body, aad).toString('utf8');
    },
    rewrap(text, belongsTo) {
      const envelope = parse(text);
      if (envelope.keyId === newest) return text;
      const { body, owner } = envelope;
      return `${PREFIX}${newest}:${wrap(unwrap(envelope, belongsTo), belongsTo)}:${body}${ownerPart(owner)}`;
    },
    sealer(belongsTo, now) {
      let dataKey: Buffer | undefined;
      let head = '';
      let uses = 0;
      let since = 0;
      return (plain, owner) => {
        if (dataKey === undefined || uses >= MAX_USES || now() - since >= MAX_AGE_MS) {
          dataKey = random(KEY_BYTES);
          head = `${PREFIX}${newest}:${wrap(dataKey, belongsTo)}:`;
          uses = 0;
          since = now();
        }
        uses += 1;
        const body = encrypt(dataKey, Buffer.from(plain, 'utf8'), ownedContext(belongsTo, owner), random);
        return head + body + ownerPart(owner);
      };
    },
    opener(belongsTo) {
      const dataKeys = new Map<string, Buffer>();
      return (text, owner) => {
        const envelope = parse(text);
        if (owner !== undefined && envelope.owner !== undefined && envelope.owner !== owner) throw unreadable();
        let dataKey = dataKeys.get(envelope.wrapped);
        if (dataKey === undefined) {
          dataKey = unwrap(envelope, belongsTo);
          if (dataKeys.size >= DATA_KEYS_REMEMBERED) dataKeys.clear();
          dataKeys.set(envelope.wrapped, dataKey);
        }
        return decrypt(dataKey, envelope.body, ownedContext(belongsTo, envelope.owner)).toString('utf8');
      };
    },
  };
  return ring;
}

interface Envelope {
  keyId: string;
  wrapped: string;
  body: string;
  owner: string | undefined;
}

function parse(text: string): Envelope {
  const [keyId = '', wrapped = '', body = '', owner, ...rest] = text.slice(PREFIX.length).split(':');
  if (!isEnvelope(text) || !KEY_ID.test(keyId) || rest.length > 0) throw unreadable();
  return { keyId, wrapped, body, owner: owner === undefined ? undefined : Buffer.from(owner, 'base64url').toString() };
}

function ownerPart(owner: string | undefined): string {
  return owner === undefined ? '' : `:${Buffer.from(owner, 'utf8').toString('base64url')}`;
}

/** Without an owner as it was before there were any. */
function ownedContext(belongsTo: readonly string[], owner: string | undefined): Buffer {
  return context('value', '', owner === undefined ? belongsTo : [...belongsTo, owner]);
}

/** Tells keys apart and says nothing about them. */
function idOf(key: Buffer): string {
  return createHmac('sha256', key).update('orchestrator: the id of this key').digest('hex').slice(0, 16);
}

/** A JSON list: no two lists of texts are spelled alike. */
function context(what: string, keyId: string, belongsTo: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify([PREFIX, what, keyId, ...belongsTo]), 'utf8');
}

function encrypt(key: Buffer, plain: Buffer, aad: Buffer, random: (bytes: number) => Buffer): string {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(aad);
  const sealed = Buffer.concat([nonce, cipher.update(plain), cipher.final()]);
  return Buffer.concat([sealed, cipher.getAuthTag()]).toString('base64url');
}

function decrypt(key: Buffer, text: string, aad: Buffer): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw unreadable();
  const tag = bytes.subarray(bytes.length - TAG_BYTES);
  const sealed = bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(aad).setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(cause?: unknown): OrchestratorError {
  return new OrchestratorError(
    'unreadable_envelope',
    'What is needed was encrypted for something else, or has been changed since',
    { cause },
  );
}
