/** Keeps secrets out of what is stored and shown, by their value and in the spellings they travel in. */
import type { Json } from '../../schemas/json.ts';

export const MASK = '***';
/** A shorter secret is only masked where it is the whole text: inside longer text it would hit everything. */
const MIN_PART_LENGTH = 4;

/** Replaces every secret in a text, also as base64 (alone or within something longer), hex, in URLs, JSON and HTML. */
export function maskOf(secrets: readonly string[]): (text: string) => string {
  const whole = new Set(secrets.filter((secret) => secret !== ''));
  const parts = maskedParts(secrets);
  return (text) => {
    if (whole.has(text)) return MASK;
    let masked = text;
    for (const part of parts) if (masked.includes(part)) masked = masked.replaceAll(part, () => MASK);
    return masked;
  };
}

/** Bounded everywhere: a long text without a URL must not cost the square of its length. */
const URL_PASSWORD = /(:\/\/[^\s:/@"']{0,200}:)[^\s@/"']{1,500}@/g;

/** The passwords in the URLs of a text, whosever they are. */
export function maskUrlPasswords(text: string): string {
  return text.replace(URL_PASSWORD, `$1${MASK}@`);
}

/** User and password go, and what stands behind `?`, where tokens are sent too. */
export function withoutCredentials(url: string): string {
  if (!/[@?#]/.test(url)) return url;
  if (!URL.canParse(url)) return MASK;
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  plain.hash = '';
  if (plain.search !== '') plain.search = MASK;
  return plain.href;
}

/** Each begins where a word does and takes every character once, so a long text costs its length. */
const BEARER = /\b(bearer|basic)(?: |%20)[\w.~+/=-]{8,}/gi;
const WEB_TOKEN = /(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g;

/** Credentials of requests and JSON web tokens, whosever they are. */
export function maskTokens(text: string): string {
  return text.replace(BEARER, `$1 ${MASK}`).replace(WEB_TOKEN, MASK);
}

const SECRET_KEY = /^(?:proxy-)?authorization$|^(?:set-)?cookie$|api[-_]?key$|passw(?:or)?d$|secret$|token$/i;

/** Whether what stands under that name is a secret by its name alone. */
export function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key);
}

/** All that is masked inside longer text; the longest first: a secret that contains another must not leave its rest behind. */
export function maskedParts(secrets: readonly string[]): string[] {
  const parts = new Set(secrets.filter((secret) => secret.length >= MIN_PART_LENGTH).flatMap(spellings));
  return [...parts].sort((a, b) => b.length - a.length);
}

/** At the end of a text that was cut: so much of the beginning of a secret is masked too. */
const MIN_CUT_LENGTH = 6;

/** The same for a text that somebody may have cut within a secret: an excerpt of an answer in a message. */
export function maskOfExcerpt(secrets: readonly string[]): (text: string) => string {
  const mask = maskOf(secrets);
  const parts = maskedParts(secrets);
  return (text) => {
    const masked = mask(text);
    let cut = masked.length;
    for (const part of parts) {
      for (let length = Math.min(part.length - 1, masked.length); length >= MIN_CUT_LENGTH; length -= 1) {
        if (!masked.endsWith(part.slice(0, length))) continue;
        cut = Math.min(cut, masked.length - length);
        break;
      }
    }
    return cut === masked.length ? masked : masked.slice(0, cut) + MASK;
  };
}

/** The value without its secrets, in keys too; the value itself is left alone. Keeps its own stack. */
export function redactSecrets(value: Json, secrets: readonly string[]): Json {
  if (secrets.length === 0) return value;
  const mask = maskOf(secrets);
  const copies = new Map<object, Json>();
  const open: Array<{ from: object; to: Json }> = [];
  const copyOf = (item: Json): Json => {
    if (typeof item === 'string') return mask(item);
    if (typeof item === 'number') return mask(String(item)) === MASK ? MASK : item;
    if (typeof item !== 'object' || item === null) return item;
    const copied = copies.get(item);
    if (copied !== undefined) return copied;
    const copy: Json = Array.isArray(item) ? [] : {};
    copies.set(item, copy);
    open.push({ from: item, to: copy });
    return copy;
  };
  const result = copyOf(value);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const [key, item] of Object.entries(next.from)) {
      // Defined, not assigned: a key `__proto__` stays a key.
      Object.defineProperty(next.to, Array.isArray(next.to) ? key : mask(key), {
        value: copyOf(item),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
  }
  return result;
}

/** A line of a longer secret (a key in PEM) is one of its own from this length on. */
const MIN_LINE_LENGTH = 16;
/** Of a secret inside longer text that is base64 as a whole; what is shorter would be found everywhere. */
const MIN_CORE_LENGTH = 6;

/** JSON that stands as text in JSON, and so on: an answer that quotes a request, in the message of an error, in a log. */
const MAX_NESTED = 5;

function spellings(secret: string): string[] {
  const texts = new Set([secret, secret.trim(), escapedIn(secret), ...linesOf(secret)]);
  const spelled = [...texts].filter((text) => text.length >= MIN_PART_LENGTH).flatMap(spellingsOf);
  let nested = secret;
  for (let depth = 0; depth < MAX_NESTED; depth += 1) {
    nested = escapedIn(nested);
    spelled.push(nested);
  }
  return spelled;
}

function linesOf(secret: string): string[] {
  return secret
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line.length >= MIN_LINE_LENGTH);
}

/** As it stands in JSON that stands in JSON. */
function escapedIn(secret: string): string {
  return JSON.stringify(secret).slice(1, -1);
}

function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  const json = escapedIn(secret);
  const encoded = encodeURIComponent(secret.replace(/\p{Surrogate}/gu, '\ufffd'));
  const strict = encoded.replace(/[!'()*]/g, (character) => `%${hexOf(character, 2).toUpperCase()}`);
  const hex = bytes.toString('hex');
  const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  return [
    secret,
    // In a URL; by those who encode all that may be, in forms, and with small letters.
    ...[encoded, strict, encoded.replaceAll('%20', '+'), strict.replaceAll('%20', '+')].flatMap((text) => [
      text,
      lower(text),
    ]),
    bytes.toString('base64'),
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    ...base64Cores(bytes),
    hex,
    hex.toUpperCase(),
    json,
    json.replaceAll('/', '\\/'),
    // As encoders that write ASCII only have it.
    json.replace(/[^\x20-\x7e]/g, (character) => `\\u${hexOf(character, 4)}`),
    // As HTML, which pages of errors are.
    secret
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;'),
  ];
}

function hexOf(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, '0');
}

/**
 * What is the same in the base64 of every text that holds these bytes: three shapes, by where they begin in its groups of
 * three. The characters at both ends, which belong to the neighbours too, are left out.
 */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), bytes]);
    const begins = Math.ceil((offset * 8) / 6);
    const ends = Math.floor((padded.length * 8) / 6);
    const core = padded.toString('base64').slice(begins, ends);
    return core.length < MIN_CORE_LENGTH ? [] : [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
}
