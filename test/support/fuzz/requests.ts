/** One request: made as the document says, and then spoiled in none, one or a few ways. */
import type { Random } from '../../harness/random.ts';
import type { Described, Document } from './document.ts';
import type { Known } from './known.ts';
import { NASTY_NUMBERS, NASTY_TEXTS, nastyValue, nested, valueFor } from './values.ts';

export interface FuzzRequest {
  op: Described;
  method: string;
  /** Percent-encoded. */
  path: string;
  /** Likewise. */
  query: Array<[string, string]>;
  headers: Array<[string, string]>;
  body: Buffer | undefined;
  /** Still a request for `op`, whatever is in it. */
  toOperation: boolean;
  /** What was done to it. */
  ways: string[];
}

export interface Means {
  document: Document;
  known: Known;
  /** Bodies that were taken, by operation. */
  taken: Map<string, unknown[]>;
}

const TENANT = 'fuzz';

export function makeRequest(random: Random, means: Means, op: Described): FuzzRequest {
  const { known } = means;
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value ?? null));
  const query: Array<[string, string]> = [];
  for (const { in: where, name, required, schema } of op.parameters) {
    // A request that waits as long as it may would wait for what never comes.
    const waits = name === 'wait';
    if (where !== 'query' || (required !== true && !waits && !random.chance(0.3))) continue;
    const value = waits ? random.pick(['0', '0.05']) : text(valueFor(random, means, schema, name));
    query.push([encodeURIComponent(name), encoded(value)]);
  }
  const path = op.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encoded(text(known.value(random, name, op.path) ?? random.pick(['nobody', '0']))),
  );
  const headers: Array<[string, string]> = [['x-tenant-id', random.chance(0.95) ? TENANT : 'default']];
  let body: Buffer | undefined;
  if (op.body !== undefined && (op.bodyRequired || random.chance(0.7))) {
    const before = means.taken.get(op.id) ?? [];
    const again = before.length > 0 && random.chance(0.35);
    const value = again ? before[random.whole(0, before.length - 1)] : withoutWaiting(valueFor(random, means, op.body));
    headers.push(['content-type', 'application/json']);
    body = Buffer.from(JSON.stringify(value) ?? '');
  }
  const request: FuzzRequest = { op, method: op.method, path, query, headers, body, toOperation: true, ways: [] };
  const times = random.chance(0.3) ? 0 : random.chance(0.7) ? 1 : random.whole(2, 3);
  for (let n = 0; n < times; n += 1) spoil(random, means, request);
  return request;
}

/** As an example it waits; here that would be for what never comes. */
function withoutWaiting(body: unknown): unknown {
  const waits = typeof body === 'object' && body !== null && Object.hasOwn(body, 'wait_seconds');
  return waits ? { ...body, wait_seconds: 0 } : body;
}

function spoil(random: Random, means: Means, request: FuzzRequest): void {
  const hasBody = request.body !== undefined;
  const kind = random.next();
  const way =
    hasBody && kind < 0.45
      ? random.pick(IN_BODIES)
      : hasBody && kind < 0.6
        ? random.pick(WHOLE_BODIES)
        : kind < 0.75
          ? random.pick(IN_QUERIES)
          : kind < 0.87
            ? random.pick(IN_PATHS)
            : random.pick(IN_HEADERS);
  request.ways.push(way.name);
  way(random, request, means);
}

type Way = (random: Random, request: FuzzRequest, means: Means) => void;

/** Places in a JSON value: what holds them, and their key. */
function placesIn(root: unknown): Array<{ holder: Record<string, unknown>; key: string }> {
  const places: Array<{ holder: Record<string, unknown>; key: string }> = [];
  const stack = [root];
  for (let at = stack.pop(); at !== undefined && places.length < 500; at = stack.pop()) {
    if (typeof at !== 'object' || at === null) continue;
    const holder = at as Record<string, unknown>; // A list has keys too.
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      stack.push(holder[key]);
    }
  }
  return places;
}

function inBody(name: string, change: (random: Random, holder: Record<string, unknown>, key: string) => void): Way {
  const way: Way = (random, request) => {
    let root: unknown;
    // What is nested so deep could be read here, but not written again.
    if (request.body?.includes('['.repeat(1_000)) === true) return;
    try {
      root = JSON.parse(request.body?.toString() ?? 'null');
    } catch {
      return; // Spoiled before.
    }
    const places = placesIn(root);
    const place = places[random.whole(0, places.length - 1)];
    if (place === undefined) return;
    change(random, place.holder, place.key);
    request.body = Buffer.from(JSON.stringify(root));
  };
  Object.defineProperty(way, 'name', { value: name });
  return way;
}

const IN_BODIES: [Way, ...Way[]] = [
  inBody('another value', (random, holder, key) => {
    holder[key] = nastyValue(random);
  }),
  inBody('another text', (random, holder, key) => {
    holder[key] = random.pick(NASTY_TEXTS);
  }),
  inBody('another number', (random, holder, key) => {
    holder[key] = random.pick(NASTY_NUMBERS);
  }),
  inBody('text of a number', (_random, holder, key) => {
    holder[key] = typeof holder[key] === 'number' ? String(holder[key]) : Number(holder[key]);
  }),
  inBody('a value less', (_random, holder, key) => {
    if (Array.isArray(holder)) holder.pop();
    else delete holder[key];
  }),
  inBody('a key more', (random, holder) => {
    const key = random.pick([
      'extra',
      '',
      'constructor',
      'hasOwnProperty',
      'tenant_id',
      'id',
      'k\u0000',
      '\ud800',
      '$ref',
    ]);
    holder[key] = nastyValue(random);
  }),
  inBody('in a list', (_random, holder, key) => {
    holder[key] = [holder[key]];
  }),
  inBody('twice', (_random, holder, key) => {
    holder[`${key} `] = holder[key];
  }),
  inBody('much of it', (_random, holder, key) => {
    holder[key] = Array.from({ length: 200 }, () => holder[key]);
  }),
];

const WHOLE_BODIES: [Way, ...Way[]] = [
  function prototype(_random, request) {
    request.body = Buffer.from(`{"__proto__":{"admin":true},${request.body?.toString().slice(1) ?? '}'}`);
  },
  function sameKeyTwice(_random, request) {
    const text = request.body?.toString() ?? '';
    const first = /^\{("[^"]*":)/.exec(text)?.[1];
    if (first !== undefined) request.body = Buffer.from(`{${first}null,${text.slice(1)}`);
  },
  function hugeNumber(_random, request) {
    request.body = Buffer.from(request.body?.toString().replace(/:\s*(?:\d+|"[^"]*")/, ':1e999') ?? '1e999');
  },
  function cutOff(random, request) {
    request.body = request.body?.subarray(0, random.whole(0, request.body.length));
  },
  function brokenUtf8(random, request) {
    const at = random.whole(0, request.body?.length ?? 0);
    const bad = random.pick(['ff', 'c0af', 'eda080', 'f8888080', 'fffe', 'efbbbf', '00']);
    const given = request.body ?? Buffer.alloc(0);
    request.body = Buffer.concat([given.subarray(0, at), Buffer.from(bad, 'hex'), given.subarray(at)]);
  },
  function otherJson(random, request) {
    request.body = Buffer.from(
      random.pick(['null', '0', '""', '[]', '[{}]', 'true', '{}', ' ', '{"a":', "{'a':1}", '{"a":1}{"b":2}', 'NaN']),
    );
  },
  function veryDeep(random, request) {
    const depth = random.pick([101, 5_000, 100_000]);
    request.body = Buffer.from('['.repeat(depth) + ']'.repeat(depth));
  },
  function deepInside(_random, request) {
    request.body = Buffer.from(JSON.stringify({ ...asObject(request.body), extra: nested(120) }));
  },
  function tooLarge(random, request) {
    request.body = Buffer.alloc(random.pick([1_048_577, 1_300_000]), '"');
  },
  function muchText(_random, request) {
    request.body = Buffer.from(JSON.stringify({ ...asObject(request.body), name: 'n'.repeat(900_000) }));
  },
  function otherMediaType(random, request) {
    const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/xml', ''];
    const odd = [
      'application/json; charset=utf-16',
      'application/json;charset="UTF-8"',
      'application/vnd.x+json',
      'json',
    ];
    setHeader(
      request,
      'content-type',
      random.chance(0.5) ? random.pick(['*/*', ...types]) : random.pick(['x', ...odd]),
    );
  },
  function compressed(random, request) {
    setHeader(request, 'content-encoding', random.pick(['gzip', 'identity', 'br, gzip', 'GZIP']));
  },
];

const IN_QUERIES: [Way, ...Way[]] = [
  function otherQuery(random, request) {
    const named = request.op.parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name);
    const name = named[random.whole(0, named.length - 1)] ?? 'page';
    request.query.push([encodeURIComponent(name), encoded(random.pick(NASTY_TEXTS).slice(0, 3_000))]);
  },
  function numberInQuery(random, request) {
    const name = random.pick(['page', 'page_size', 'limit', 'offset', 'wait', 'version', 'from', 'to']);
    // What waits would only cost time.
    const value = name === 'wait' ? random.pick(['-1', 'x', '1e9', '31']) : String(random.pick(NASTY_NUMBERS));
    request.query.push([name, encoded(value)]);
  },
  function badCursor(random, request) {
    const made = [
      { t: 'x', i: 1 },
      { e: "1'" },
      { i: '9'.repeat(18) },
      { e: '9'.repeat(18) },
      { t: '+275760-09-13T00:00:00.000Z', i: 'x', p: 1 },
    ];
    const cursor = Buffer.from(JSON.stringify(random.pick<object>([{}, ...made]))).toString('base64url');
    request.query.push(['cursor', random.chance(0.7) ? cursor : encoded(random.pick(NASTY_TEXTS).slice(0, 3_000))]);
  },
  function queryTwice(_random, request) {
    const first = request.query[0] ?? ['page', '1'];
    request.query.push([...first], [...first]);
  },
  function structuredQuery(random, request) {
    const name = random.pick([
      'page[]',
      'status[a]',
      '__proto__[x]',
      'a[__proto__]',
      'constructor',
      'filter[$gt]',
      'q.a',
    ]);
    request.query.push([name, '1']);
  },
  function rawQuery(random, request) {
    request.query.push([
      random.pick(['%', '%ff', '%00', '&&', '=', 'a=b=c', '%ed%a0%80']),
      random.pick(['%', '%zz', '%c0%af', '']),
    ]);
  },
];

const IN_PATHS: [Way, ...Way[]] = [
  function oddId(random, request) {
    const odd = [
      ...NASTY_TEXTS.map((text) => encoded(text.slice(0, 3_000))),
      '%ff',
      '%',
      '%ed%a0%80',
      '%2e%2e%2f',
      '%2F',
    ];
    const at = [...request.op.path.matchAll(/\{\w+\}/g)].length;
    if (at === 0) return;
    const parts = request.op.path.split('/');
    const variable = parts.flatMap((part, n) => (part.startsWith('{') ? [n] : []));
    const given = request.path.split('/');
    const value = odd[random.whole(0, odd.length - 1)] ?? '';
    given[variable[random.whole(0, variable.length - 1)] ?? 0] = value;
    request.path = given.join('/');
    // With nothing in its place it is another path.
    if (value === '' || value === '.' || value === '..') request.toOperation = false;
  },
  function otherMethod(random, request) {
    request.method = random.pick([
      'PATCH',
      'DELETE',
      'PUT',
      'POST',
      'GET',
      'HEAD',
      'OPTIONS',
      'TRACE',
      'PROPFIND',
      'QUERY',
    ]);
    request.toOperation = false;
  },
  function slashes(random, request) {
    const change = random.pick([
      (path: string) => `${path}/`,
      (path: string) => `${path}//`,
      (path: string) => `/${path}`,
      (path: string) => path.replace('/', '/./'),
      (path: string) => `${path}/..`,
      (path: string) => `${path};a=b`,
      (path: string) => path.toUpperCase(),
      (path: string) => `${path}%20`,
      (path: string) => `${path}.json`,
    ]);
    request.path = change(request.path);
    request.toOperation = false;
  },
];

/** In header values: what HTTP lets through. */
const NASTY_VALUES = [
  '',
  ' ',
  'x'.repeat(5_000),
  '\u00ff\u00fe',
  '"',
  "' OR 1=1",
  '..',
  '0',
  '-1',
  'null',
  '{{x}}',
  '%00',
  ',',
  ';',
] as const;
const HEADERS = [
  ...(['x-tenant-id', 'x-user-id', 'x-request-id', 'x-correlation-id', 'traceparent', 'tracestate'] as const),
  ...([
    'idempotency-key',
    'if-match',
    'if-none-match',
    'accept',
    'last-event-id',
    'origin',
    'accept-encoding',
  ] as const),
  ...(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'forwarded', 'x-http-method-override'] as const),
  ...([
    'range',
    'cookie',
    'authorization',
    'x-api-key',
    'prefer',
    'te',
    'x-original-url',
    'via',
    'accept-language',
  ] as const),
  ...(['webhook-signature', 'webhook-timestamp', 'webhook-id', 'content-language', 'if-modified-since'] as const),
] as const;

const IN_HEADERS: [Way, ...Way[]] = [
  function oddHeader(random, request) {
    setHeader(request, random.pick(HEADERS), random.pick(NASTY_VALUES));
  },
  function headerTwice(random, request) {
    const name = random.pick(HEADERS);
    request.headers.push([name, 'one'], [name, random.pick(NASTY_VALUES)]);
  },
  function fittingHeader(random, request) {
    const [name, value] = random.pick([
      ['idempotency-key', `key-${random.whole(1, 5)}`],
      ['if-match', '"1"'],
      ['if-none-match', '*'],
      ['accept', 'text/html'],
      ['accept', 'text/event-stream'],
      ['accept', 'application/xml'],
      ['last-event-id', '3'],
      ['x-forwarded-host', 'evil.example'],
      ['x-http-method-override', 'DELETE'],
      ['authorization', 'Bearer eyJhbGciOiJub25lIn0.e30.'],
      ['origin', 'https://evil.example'],
      ['range', 'bytes=0-10'],
      ['cloudevents', '1'],
      ['content-type', 'application/cloudevents+json'],
      ['content-type', 'application/cloudevents-batch+json'],
    ] as [[string, string], ...Array<[string, string]>]);
    setHeader(request, name, value);
  },
  function manyHeaders(random, request) {
    for (let n = random.pick([50, 190, 400]); n > 0; n -= 1) request.headers.push([`x-many-${n}`, 'v']);
  },
  function largeHeader(random, request) {
    setHeader(request, 'x-large', 'y'.repeat(random.pick([8_000, 20_000])));
  },
];

export function setHeader(request: FuzzRequest, name: string, value: string): void {
  request.headers = [...request.headers.filter(([other]) => other !== name), [name, value]];
}

function asObject(body: Buffer | undefined): object {
  if (body?.includes('['.repeat(1_000)) === true) return {};
  try {
    const value: unknown = JSON.parse(body?.toString() ?? 'null');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}

/** Also what is no text: half a pair becomes the bytes that some would make of it. */
export function encoded(text: string): string {
  return [...text]
    .map((character) => (/\p{Surrogate}/u.test(character) ? '%ED%A0%80' : encodeURIComponent(character)))
    .join('');
}

export function targetOf({ path, query }: Pick<FuzzRequest, 'path' | 'query'>): string {
  return query.length === 0 ? path : `${path}?${query.map(([name, value]) => `${name}=${value}`).join('&')}`;
}
