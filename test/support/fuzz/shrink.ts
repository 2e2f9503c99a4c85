/** Makes a request that fails smaller for as long as it fails in the same way. */
import type { FuzzRequest } from './requests.ts';

const MAX_TRIES = 150;

export async function shrink(
  request: FuzzRequest,
  stillFails: (smaller: FuzzRequest) => Promise<boolean>,
): Promise<FuzzRequest> {
  let best = request;
  let tries = 0;
  for (let again = true; again; ) {
    again = false;
    for (const smaller of smallerThan(best)) {
      tries += 1;
      if (tries > MAX_TRIES) return best;
      if (await stillFails(smaller)) {
        best = smaller;
        again = true;
        break;
      }
    }
  }
  return best;
}

function* smallerThan(request: FuzzRequest): Generator<FuzzRequest> {
  if (request.body !== undefined) yield { ...request, body: undefined };
  for (const [n, [name]] of request.headers.entries()) {
    if (name !== 'content-type') yield { ...request, headers: request.headers.toSpliced(n, 1) };
  }
  for (const n of request.query.keys()) yield { ...request, query: request.query.toSpliced(n, 1) };
  for (const body of smallerBodies(request.body)) yield { ...request, body };
}

function* smallerBodies(body: Buffer | undefined): Generator<Buffer> {
  let root: unknown;
  if (body?.includes('['.repeat(1_000)) === true) return;
  try {
    root = JSON.parse(body?.toString() ?? '');
  } catch {
    return;
  }
  for (const value of smallerValues(root, 0)) yield Buffer.from(JSON.stringify(value));
}

function* smallerValues(value: unknown, depth: number): Generator<unknown> {
  if (typeof value === 'string') {
    if (value.length > 1) yield value.slice(0, value.length >> 1);
    return;
  }
  if (typeof value !== 'object' || value === null || depth > 20) return;
  if (Array.isArray(value)) {
    if (value.length > 3) yield value.slice(0, value.length >> 1);
    for (const n of value.keys()) if (n < 20) yield value.toSpliced(n, 1);
    for (const [n, item] of value.entries())
      if (n < 20) for (const smaller of smallerValues(item, depth + 1)) yield value.with(n, smaller);
    return;
  }
  const entries = Object.entries(value);
  for (const n of entries.keys()) yield Object.fromEntries(entries.toSpliced(n, 1));
  for (const [n, [key, item]] of entries.entries())
    for (const smaller of smallerValues(item, depth + 1)) yield Object.fromEntries(entries.with(n, [key, smaller]));
}
