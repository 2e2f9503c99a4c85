/** How the text of a variable becomes a value. The message for an invalid text says what is allowed; the caller adds the text itself. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { ROLES } from '../domain/access.ts';
import { serviceKey } from '../domain/service-rate.ts';
import { FAILPOINTS, type FailpointRule } from '../schemas/failpoints.ts';
import type { Frozen } from './freeze.ts';

export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return converted(`a whole number ${range}`, (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

export function decimal(min: number, max: number) {
  return converted(`a number from ${min} to ${max}`, (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

export function oneOf<const Values extends readonly string[]>(
  values: Values,
  spellings: Readonly<Record<string, Values[number]>> = {},
) {
  return converted<Values[number]>(`one of ${values.join(', ')}`, (text) => {
    const lower = text.toLowerCase();
    return (
      values.find((value) => value.toLowerCase() === lower) ??
      (Object.hasOwn(spellings, lower) ? spellings[lower] : undefined)
    );
  });
}

export function flag() {
  return converted('true or false', (text) => {
    const lower = text.toLowerCase();
    if (['true', '1', 'yes', 'on'].includes(lower)) return true;
    return ['false', '0', 'no', 'off'].includes(lower) ? false : undefined;
  });
}

export function text() {
  return z.string().describe('a text');
}

const LIST = 'a JSON list of strings, or words with commas between them';

export function moment() {
  return converted('a time in ISO 8601, such as 2026-01-31T12:00:00Z', (text) =>
    /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text))
      ? new Date(text).toISOString()
      : undefined,
  );
}

export function list() {
  return converted(LIST, listed);
}

const HOSTS = 'a list of host, host:port, *.domain, addresses and networks (10.1.0.0/16)';

export function hosts() {
  return converted(HOSTS, (text) => {
    const items = listed(text);
    return items?.every(isHost) === true ? items : undefined;
  });
}

/** Where it says that it is a network it has to be one: a network that is none would deny nothing. */
function isHost(item: string): boolean {
  if (!item.includes('/')) return true;
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([^\]]+?))(?::\d+)?$/.exec(item) ?? [];
  return networksOf(bracketed ?? plain ?? '') !== undefined;
}

/** Servers as host:port, each with its port. */
export function addresses(defaultPort: number) {
  return converted(`a list of host or host:port, ${defaultPort} unless said`, (text) => {
    const items = listed(text)?.map((item) => {
      const [, host, port = String(defaultPort)] = /^(\[[0-9a-f:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?$/i.exec(item) ?? [];
      return host === undefined || Number(port) < 1 || Number(port) > 65_535 ? undefined : `${host}:${port}`;
    });
    const valid = items?.filter((item) => item !== undefined);
    return valid !== undefined && valid.length === items?.length ? [...new Set(valid)] : undefined;
  });
}

function listed(input: string): string[] | undefined {
  const parsed = input.startsWith('[') ? z.array(z.string()).safeParse(fromJson(input)).data : input.split(',');
  return parsed && [...new Set(parsed.map((item) => item.trim()).filter((item) => item !== ''))];
}

/** A text as `schema` has it. */
export function matching(allowed: string, schema: z.ZodType<string>) {
  return converted(allowed, (input) => schema.safeParse(input).data);
}

/** A list of such texts. */
export function listMatching(what: string, schema: z.ZodType<string>) {
  return converted(`a list of ${what}`, (input): readonly string[] | undefined => {
    const items = listed(input);
    return items?.every((item) => schema.safeParse(item).success) === true ? items : undefined;
  });
}

/** A list of words, each one of `values`. */
export function listOf<const Values extends readonly string[]>(values: Values) {
  return converted(`a list of ${values.join(', ')}`, (text): ReadonlyArray<Values[number]> | undefined => {
    const items = listed(text);
    const chosen = values.filter((value) => items?.includes(value) === true);
    return chosen.length === items?.length ? chosen : undefined;
  });
}

const holder = z.strictObject({
  user: z.string().regex(/^[\x21-\x7e]{1,255}$/),
  tenant: z.string().regex(/^[\x21-\x7e]{1,255}$/),
  roles: z.array(z.enum(ROLES)).min(1),
});

/** `{"CN:gateway": {"user": "gateway", "tenant": "default", "roles": ["editor"]}}`: the callers that certificates represent. */
export function certificateHolders() {
  return converted('a JSON object of CN:…, DNS:… or URI:… and {"user", "tenant", "roles"}', (text) => {
    if (text === '') return new Map<string, z.output<typeof holder>>();
    const { data } = z.record(z.string().regex(/^(?:CN|DNS|URI):./), holder).safeParse(fromJson(text));
    return data === undefined ? undefined : new Map(Object.entries(data));
  });
}

/** A list of secrets, each with a minimum length. */
export function secretList(atLeast: number) {
  return converted(`${LIST}, each of at least ${atLeast} characters`, (text) => {
    const items = listed(text);
    return items?.every((item) => item.length >= atLeast) === true ? items : undefined;
  });
}

/** Keys of 32 bytes, each as base64. */
export function keyList() {
  return converted(`${LIST}, each the base64 of 32 random bytes`, (text) => {
    const items = listed(text);
    return items?.every((item) => /^[A-Za-z0-9+/_-]{43}=?$/.test(item)) === true ? items : undefined;
  });
}

/** `name:exit|stop|throw|sleep(ms)@n`, with commas between them; `@n` is the n-th hit, the first one unless said. */
export function failpointRules() {
  const allowed = `name:exit|stop|throw|sleep(ms)@n with commas between them, where name is one of ${FAILPOINTS.join(', ')}`;
  return converted(allowed, (text) => {
    const parts = text.split(',').map((part) => part.trim());
    const rules = parts.filter((part) => part !== '').map(failpointRule);
    const valid = rules.filter((rule) => rule !== undefined);
    return valid.length === rules.length ? valid : undefined;
  });
}

function failpointRule(part: string): FailpointRule | undefined {
  const [, word, what, ms, at = '1'] = /^([\w.]+):(exit|stop|throw|sleep\((\d+)\))(?:@([1-9]\d*))?$/.exec(part) ?? [];
  const name = FAILPOINTS.find((candidate) => candidate === word);
  if (name === undefined) return undefined;
  const action = what === 'exit' || what === 'stop' || what === 'throw' ? what : 'sleep';
  return { name, action, sleepMs: Number(ms ?? 0), at: Number(at) };
}

export function url(schemes: readonly string[]) {
  const allowed = `a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`;
  return converted(allowed, (text) => {
    // `postgresql+asyncpg://`: the driver of another language is ignored.
    const plain = text.replace(/^(\w+)\+\w+:/, '$1:');
    return schemes.some((scheme) => plain.startsWith(`${scheme}://`)) && URL.canParse(plain) ? plain : undefined;
  });
}

/** Base URLs, without a slash at their ends. */
export function urlList() {
  return list().transform((items, context): readonly string[] => {
    const isBase = (item: string) => {
      if (!/^https?:\/\//.test(item) || !URL.canParse(item)) return false;
      const { username, password, search, hash } = new URL(item);
      return `${username}${password}${search}${hash}` === '';
    };
    if (items.every(isBase)) return [...new Set(items.map((item) => item.replace(/\/+$/, '')))];
    context.addIssue({ code: 'custom', message: 'must be http(s) URLs without user, query and fragment' });
    return z.NEVER;
  });
}

/** `{"name": "http://host"}`. */
export function urlMap() {
  return converted('a JSON object of names and http(s) URLs', (text) => {
    const { data } = z.record(z.string(), z.url({ protocol: /^https?$/ })).safeParse(fromJson(text));
    return data === undefined ? undefined : new Map(Object.entries(data));
  });
}

/** `name=value,other=value`, percent-encoded, as W3C Baggage and OpenTelemetry write them. */
export function headerList() {
  return converted(
    'name=value with commas between them, percent-encoded',
    (text): ReadonlyMap<string, string> | undefined => {
      const headers = new Map<string, string>();
      for (const part of text.split(',').filter((item) => item.trim() !== '')) {
        const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
        const decoded = value === undefined ? undefined : decodedOf(value);
        if (name === undefined || decoded === undefined) return undefined;
        headers.set(name, decoded);
      }
      return headers;
    },
  );
}

function decodedOf(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text);
    return /^[\x20-\x7e]*$/.test(decoded) ? decoded : undefined;
  } catch {
    return undefined;
  }
}

export interface RateLimit {
  max: number;
  perMs: number;
}

/** `name=10/1s,other=100/60s`: so many in so many seconds. */
export function rateLimits() {
  return converted('name=count/seconds with commas between them, such as http_request=10/1s', (text) => {
    const found = new Map<string, RateLimit>();
    for (const part of text.split(',').filter((item) => item.trim() !== '')) {
      const [, name = '', max, seconds] =
        /^\s*([^=\s]+)\s*=\s*([1-9]\d{0,8})\s*\/\s*(\d{1,6}(?:\.\d{1,3})?)s\s*$/.exec(part) ?? [];
      const limit = { max: Number(max), perMs: Math.round(Number(seconds) * 1_000) };
      if (name === '' || !(limit.perMs > 0)) return undefined;
      found.set(name, limit);
    }
    return found;
  });
}

/** `name=4,other=1`: fair-share weights by tenant; 1 for all other tenants. */
export function weights() {
  const allowed = 'name=weight with commas between them, where a weight is a number from 0.01 to 10000';
  return converted(allowed, (text) => {
    const found = new Map<string, number>();
    for (const part of text.split(',').filter((item) => item.trim() !== '')) {
      const [, name, weight] = /^\s*(.*?)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(part) ?? [];
      const value = Number(weight);
      if (name === undefined || name === '' || !(value >= 0.01 && value <= 10_000)) return undefined;
      found.set(name, value);
    }
    return found;
  });
}

/** Secrets by tenant; a list alone is that of the tenant `default`. */
export function tenantSecrets(atLeast: number, most: number) {
  const schema = z.record(z.string().min(1), z.array(z.string().min(atLeast)).min(1).max(most));
  const allowed = `${LIST}, or JSON of tenants with such lists, each of at most ${most} items, each item of at least ${atLeast} characters`;
  return converted(allowed, (text): Map<string, string[]> | undefined => {
    if (text.startsWith('{')) {
      const { data } = schema.safeParse(fromJson(text));
      return data && new Map(Object.entries(data));
    }
    const items = listed(text) ?? [];
    if (items.length > most || items.some((item) => item.length < atLeast)) return undefined;
    return listed(text) && new Map([['default', items]]);
  });
}

/** What outbound requests of single tenants may reach, by tenant. */
export function tenantEgress() {
  const entries = z.array(z.string().trim().min(1).refine(isHost)).default([]);
  const policy = z.enum(['internal', 'registered', 'public-only', 'none']).optional();
  const schema = z.record(z.string().min(1), z.strictObject({ policy, allow: entries, deny: entries }));
  return converted('JSON of tenants, each with policy, allow and deny', (text) => {
    const { data } = schema.safeParse(fromJson(text));
    return data && new Map(Object.entries(data));
  });
}

const certificateFiles = z
  .strictObject({
    ca_path: z.string().min(1).optional(),
    cert_path: z.string().min(1).optional(),
    key_path: z.string().min(1).optional(),
  })
  .refine(({ cert_path, key_path }) => (cert_path === undefined) === (key_path === undefined))
  .refine((files) => Object.keys(files).length > 0)
  .transform(({ ca_path: ca, cert_path: cert, key_path: key }) => ({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  }));

/** Paths of certificates by the keys of services. */
export function serviceFiles() {
  const schema = z.record(z.string().min(1), certificateFiles);
  return converted('JSON of services, each with ca_path, or cert_path and key_path, or all three', (text) => {
    const { data } = schema.safeParse(fromJson(text));
    return data && new Map(Object.entries(data).map(([name, files]) => [serviceKey(name), files]));
  });
}

const NAMED_NETWORKS = new Map([
  ['loopback', ['127.0.0.0/8', '::1/128']],
  ['private', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7', '127.0.0.0/8', '::1/128']],
]);

function networksOf(item: string): string[] | undefined {
  const named = NAMED_NETWORKS.get(item);
  if (named !== undefined) return named;
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(item) ?? [];
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const length = bits === undefined ? most : Number(bits);
  return most > 0 && length <= most ? [`${address}/${length}`] : undefined;
}

/** A number of proxies, or their addresses and networks. */
export function trustedProxies() {
  const allowed = 'a number of proxies, or addresses, networks, loopback, private with commas between them';
  return converted(allowed, (text): number | string[] | undefined => {
    if (/^\d{1,2}$/.test(text)) return Number(text);
    const networks = listed(text)?.map(networksOf);
    return networks?.every((found) => found !== undefined) === true
      ? networks.flatMap((found) => found ?? [])
      : undefined;
  });
}

/** `allowed` is the description of the schema, which the page of the settings shows. */
function converted<T>(allowed: string, convert: (text: string) => T | undefined) {
  return z
    .string()
    .transform((input, context): Frozen<T> => {
      const value = convert(input.trim());
      if (value !== undefined) return value as Frozen<T>; // From here on it is read only.
      context.addIssue({ code: 'custom', message: `must be ${allowed}` });
      return z.NEVER;
    })
    .describe(allowed);
}

/** The allowed values of a schema of this file, in words. */
export function allowedBy(schema: z.ZodType): string {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema;
  return (inner as z.ZodType).description ?? 'a text'; // An optional wraps a schema.
}

function fromJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return undefined;
  }
}
