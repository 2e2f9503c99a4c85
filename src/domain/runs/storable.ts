/**
 * Makes what an adapter returned fit for a `jsonb` column. One outcome that PostgreSQL rejects fails the whole batch
 * it is committed with, so nothing goes there that has not been through here.
 */

export interface StorableOptions {
  /** Of the JSON text in UTF-8. */
  maxBytes: number;
  maxDepth?: number;
  /** Applied to every text and key, to keep secrets out. */
  mask?: ((text: string) => string) | undefined;
}

export type Storable =
  | { ok: true; json: string }
  | { ok: false; code: 'output_too_large' | 'output_not_storable'; message: string };

export const MAX_STORABLE_DEPTH = 100;

/** A container that is being copied; the frames on the stack are the path to the value at hand. */
interface Frame {
  source: object;
  target: unknown[] | Record<string, unknown>;
  /** Undefined for a list, whose keys are its indices. */
  keys: readonly string[] | undefined;
  size: number;
  next: number;
}

class NotStorable extends Error {
  readonly code: 'output_too_large' | 'output_not_storable';
  constructor(code: 'output_too_large' | 'output_not_storable', message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The value as JSON text. As in `JSON.stringify`, `toJSON` is honoured and undefined, functions and symbols are
 * dropped (null in a list, and as the whole value). NUL becomes U+2400 and half a surrogate pair U+FFFD; a key
 * `__proto__` stays a key. Rejected are cycles, deep nesting, NaN and infinities, bigints. Never throws.
 */
export function makeStorable(value: unknown, options: StorableOptions): Storable {
  try {
    const json = JSON.stringify(new Copier(options).copy(value));
    const bytes = Buffer.byteLength(json, 'utf8');
    return bytes > options.maxBytes ? tooLarge(options.maxBytes) : { ok: true, json };
  } catch (error) {
    if (error instanceof NotStorable) return { ok: false, code: error.code, message: error.message };
    // A getter or a toJSON that throws.
    const reason = error instanceof Error ? error.message : 'an unknown error';
    return { ok: false, code: 'output_not_storable', message: `the output cannot be read: ${cleanText(reason)}` };
  }
}

function tooLarge(maxBytes: number): Storable & { ok: false } {
  return { ok: false, code: 'output_too_large', message: `the output is larger than ${maxBytes} bytes` };
}

/** Text that a `text` or `jsonb` column takes: NUL becomes U+2400, half a surrogate pair U+FFFD. */
export function cleanText(text: string): string {
  return text.replaceAll('\0', '\u2400').replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Copies with a stack of its own, so that depth and cycles are found before anything recursive sees the value. */
class Copier {
  readonly #options: StorableOptions;
  readonly #frames: Frame[] = [];
  readonly #ancestors = new Set<object>();
  /** A lower bound of the JSON's length: ends the walk early on shared parts that would unfold without end. */
  #length = 0;

  constructor(options: StorableOptions) {
    this.#options = options;
  }

  copy(value: unknown): unknown {
    const whole = this.#scalarOrFrame(value, '');
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      if (frame.next < frame.size) {
        this.#copyEntry(frame, keyAt(frame, frame.next++));
      } else {
        this.#ancestors.delete(frame.source);
        this.#frames.pop();
      }
    }
    return whole === undefined ? null : whole;
  }

  #copyEntry(frame: Frame, key: string): void {
    const item = this.#scalarOrFrame(Reflect.get(frame.source, key), key);
    if (Array.isArray(frame.target)) {
      frame.target.push(item === undefined ? null : item);
      this.#count(1);
    } else if (item !== undefined) {
      // The target has no prototype, so `__proto__` is assigned like any other key.
      frame.target[this.#text(key)] = item;
      this.#count(2);
    }
  }

  /** The copy of a scalar, or the still empty copy of a container that now lies on the stack. */
  #scalarOrFrame(given: unknown, key: string): unknown {
    // Seen as bytes first: JSON would unfold a large buffer into a list of numbers.
    if (ArrayBuffer.isView(given)) this.#count(given.byteLength, false);
    const value = plain(given, key);
    if (typeof value === 'string') return this.#text(value);
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw this.#rejection(`has the number ${String(value)}`);
      this.#count(1);
      return value;
    }
    if (typeof value === 'bigint') throw this.#rejection('has a bigint');
    if (typeof value === 'boolean' || value === null) {
      this.#count(4);
      return value;
    }
    if (typeof value !== 'object') return undefined;
    return this.#open(value);
  }

  #open(source: object): unknown {
    if (this.#ancestors.has(source)) throw this.#rejection('contains itself');
    const maxDepth = this.#options.maxDepth ?? MAX_STORABLE_DEPTH;
    if (this.#frames.length >= maxDepth) throw this.#rejection(`is nested more than ${maxDepth} levels deep`);
    // One bracket: the entries count a comma each, which is one too many.
    this.#count(1);
    const isList = Array.isArray(source);
    const target = isList ? [] : (Object.create(null) as Record<string, unknown>); // Typed as any by the library.
    const keys = isList ? undefined : Object.keys(source);
    this.#frames.push({ source, target, keys, size: isList ? source.length : (keys?.length ?? 0), next: 0 });
    this.#ancestors.add(source);
    return target;
  }

  #text(text: string): string {
    this.#count(2);
    this.#count(text.length, false);
    const clean = cleanText(text);
    const shown = this.#options.mask === undefined ? clean : cleanText(this.#options.mask(clean));
    this.#count(shown.length);
    return shown;
  }

  /** Throws when the length so far plus `more` is over the limit; `keep` false only checks ahead. */
  #count(more: number, keep = true): void {
    if (this.#length + more > this.#options.maxBytes) {
      const { code, message } = tooLarge(this.#options.maxBytes);
      throw new NotStorable(code, message);
    }
    if (keep) this.#length += more;
  }

  #rejection(what: string): NotStorable {
    const path = this.#frames.map((frame) => keyAt(frame, frame.next - 1)).join('.');
    const where = path === '' ? '' : ` at '${cleanText(path.slice(0, 200))}'`;
    return new NotStorable('output_not_storable', `the output ${what}${where}`);
  }
}

function keyAt(frame: Frame, index: number): string {
  return frame.keys === undefined ? String(index) : (frame.keys[index] ?? '');
}

/** As JSON sees it: `toJSON` applied, boxed scalars opened. */
function plain(given: unknown, key: string): unknown {
  let value = given;
  if (typeof value === 'object' && value !== null) {
    const toJSON: unknown = Reflect.get(value, 'toJSON');
    if (typeof toJSON === 'function') value = toJSON.call(value, key);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return value.valueOf();
  return value;
}
