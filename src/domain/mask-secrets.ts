/** Keeps secrets out of what is stored and shown, by their value and in the spellings they travel in. */
import type { Json } from '../schemas/json.ts';

export const MASK = '***';
/** A shorter secret is only masked where it is the whole text: inside longer text it would hit everything. */
const MIN_PART_LENGTH = 4;

/** Replaces every secret in a text, also as base64, URL-encoded or escaped inside JSON text. */
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
    const known = copies.get(item);
    if (known !== undefined) return known;
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

function spellings(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  return [
    secret,
    encodeURIComponent(secret.replace(/\p{Surrogate}/gu, '\ufffd')),
    bytes.toString('base64'),
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    JSON.stringify(secret).slice(1, -1),
  ];
}
