/** How the text of a variable becomes a value, with the sentence for a text that does not. */
import { z } from 'zod';
import { FAILPOINTS, type FailpointRule } from '../schemas/failpoints.ts';

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
    return values.find((value) => value === lower) ?? (Object.hasOwn(spellings, lower) ? spellings[lower] : undefined);
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
  return z.string();
}

/** A JSON list of strings, or words with commas between them. */
export function list() {
  return z.string().transform((input, context) => {
    const parsed = input.startsWith('[') ? z.array(z.string()).safeParse(fromJson(input)).data : input.split(',');
    if (parsed !== undefined) return [...new Set(parsed.map((item) => item.trim()).filter((item) => item !== ''))];
    context.addIssue({ code: 'custom', message: 'must be a JSON list of strings, or words with commas between them' });
    return z.NEVER;
  });
}

/** A list of texts that are too long to be guessed. */
export function secretList(atLeast: number) {
  return list().refine((items) => items.every((item) => item.length >= atLeast), {
    error: `must be texts of at least ${atLeast} characters`,
  });
}

/** `name:exit|stop|throw|sleep(ms)@n`, with commas between them; `@n` is the n-th hit, the first one unless said. */
export function failpointRules() {
  return z.string().transform((input, context) => {
    const parts = input.split(',').map((part) => part.trim());
    const rules = parts.filter((part) => part !== '').map(failpointRule);
    const valid = rules.filter((rule) => rule !== undefined);
    if (valid.length === rules.length) return valid;
    context.addIssue({
      code: 'custom',
      message: `must be name:exit|stop|throw|sleep(ms)@n with commas between them, where name is one of ${FAILPOINTS.join(', ')}`,
    });
    return z.NEVER;
  });
}

function failpointRule(part: string): FailpointRule | undefined {
  const [, wanted, what, ms, at = '1'] = /^([\w.]+):(exit|stop|throw|sleep\((\d+)\))(?:@([1-9]\d*))?$/.exec(part) ?? [];
  const name = FAILPOINTS.find((known) => known === wanted);
  if (name === undefined) return undefined;
  const action = what === 'exit' || what === 'stop' || what === 'throw' ? what : 'sleep';
  return { name, action, sleepMs: Number(ms ?? 0), at: Number(at) };
}

/** Its value may hold a password, so the sentence does not repeat it. */
export function url(schemes: readonly string[]) {
  return z.string().transform((input, context) => {
    // `postgresql+asyncpg://`: a driver of another language is of no concern to us.
    const plain = input.replace(/^(\w+)\+\w+:/, '$1:');
    if (schemes.some((scheme) => plain.startsWith(`${scheme}://`)) && URL.canParse(plain)) return plain;
    context.addIssue({
      code: 'custom',
      message: `must be a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
    });
    return z.NEVER;
  });
}

/** `{"name": "http://host"}`. */
export function urlMap() {
  return z.string().transform((input, context) => {
    const parsed = z.record(z.string(), z.url({ protocol: /^https?$/ })).safeParse(fromJson(input));
    if (parsed.success) return new Map(Object.entries(parsed.data));
    context.addIssue({ code: 'custom', message: 'must be a JSON object of names and http(s) URLs' });
    return z.NEVER;
  });
}

export interface RateLimit {
  max: number;
  perMs: number;
}

/** `name=10/1s,other=100/60s`: so many in so many seconds. */
export function rateLimits() {
  return z.string().transform((input, context) => {
    const found = new Map<string, RateLimit>();
    for (const part of input.split(',').filter((text) => text.trim() !== '')) {
      const [, name = '', max, seconds] =
        /^\s*([^=\s]+)\s*=\s*([1-9]\d{0,8})\s*\/\s*(\d{1,6}(?:\.\d{1,3})?)s\s*$/.exec(part) ?? [];
      const limit = { max: Number(max), perMs: Math.round(Number(seconds) * 1_000) };
      if (name === '' || !(limit.perMs > 0)) {
        const message = 'must be name=count/seconds with commas between them, such as http_request=10/1s';
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
      found.set(name, limit);
    }
    return found;
  });
}

/** `name=4,other=1`: how much more than others each gets; 1 for all that are not named. */
export function weights() {
  return z.string().transform((input, context) => {
    const found = new Map<string, number>();
    for (const part of input.split(',').filter((text) => text.trim() !== '')) {
      const [, name, weight] = /^\s*(.*?)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(part) ?? [];
      const value = Number(weight);
      if (name === undefined || name === '' || !(value >= 0.01 && value <= 10_000)) {
        const message = 'must be name=weight with commas between them, where a weight is a number from 0.01 to 10000';
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
      found.set(name, value);
    }
    return found;
  });
}

function converted<T>(allowed: string, convert: (text: string) => T | undefined) {
  return z.string().transform((input, context) => {
    const value = convert(input.trim());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `must be ${allowed}, not ${JSON.stringify(input.slice(0, 100))}` });
    return z.NEVER;
  });
}

function fromJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return undefined;
  }
}
