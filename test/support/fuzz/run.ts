/** So many requests from a seed; what went wrong, each thing once, with the smallest request that shows it. */
import { createRandom, type Random } from '../../harness/random.ts';
import { someBytes } from './bytes.ts';
import type { Described } from './document.ts';
import { curlOf, headerOf } from './judge.ts';
import { type FuzzRequest, makeRequest } from './requests.ts';
import { createSender, type FuzzAnswer, type Sender, sendBytes } from './send.ts';
import { shrink } from './shrink.ts';
import type { World } from './world.ts';

const TIDY_EVERY = 50;
/** More of them would tell nobody more. */
const MAX_FINDINGS = 25;
const KEPT_BODIES = 6;
/** Says with each new finding that it is the same one, whatever the ids in it. */
const VARIABLE = /[0-9a-f]{8,}|\d+/g;

export interface FuzzReport {
  /** How each operation answered: `createWorkflow 201` -> how often. */
  statuses: Map<string, number>;
  /** Why each operation refused a request last. */
  refusals: Map<string, string>;
  findings: string[];
}

export async function fuzz(world: World, { seed, requests }: { seed: number; requests: number }): Promise<FuzzReport> {
  const random = createRandom(seed);
  const open = createSender(world.port);
  const closed = createSender(world.closedPort);
  const statuses = new Map<string, number>();
  const refusals = new Map<string, string>();
  const findings = new Map<string, string>();
  const keep = (what: string, faults: string[], tell: () => string) => {
    for (const fault of faults) {
      const key = `${what} ${fault.replaceAll(VARIABLE, '#').slice(0, 160)}`;
      if (!findings.has(key)) findings.set(key, tell());
    }
  };
  try {
    for (let n = 0; n < requests && findings.size < MAX_FINDINGS; n += 1) {
      if (n % TIDY_EVERY === 0) await world.tidy();
      if (random.chance(0.04)) {
        await tryBytes(random, world, keep, n);
        continue;
      }
      const { operations } = world.document;
      const op = operations[random.whole(0, operations.length - 1)];
      if (op === undefined) continue;
      const request = makeRequest(random, world, op);
      if (random.chance(0.05)) {
        await tryClosed(random, world, closed, request, keep, n);
        continue;
      }
      const { faults, answer } = await ask(world, open, request);
      const status = `${op.id} ${answer?.status ?? 'none'}`;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (answer !== undefined && answer.status < 300) learn(world, op, request, answer);
      else if (answer !== undefined && request.ways.length === 0) refusals.set(op.id, answer.body.slice(0, 400));
      if (faults.length === 0) continue;
      const smallest = await shrink(request, async (smaller) =>
        (await ask(world, open, smaller)).faults.some((fault) => sameFault(fault, faults[0] ?? '')),
      );
      keep(op.id, faults, () => tellOf(n, op.id, request, smallest, faults, answer, world.url));
    }
  } finally {
    open.close();
    closed.close();
  }
  return { statuses, refusals, findings: [...findings.values()] };
}

type Keep = (what: string, faults: string[], tell: () => string) => void;

async function ask(
  world: World,
  sender: Sender,
  request: FuzzRequest,
): Promise<{ faults: string[]; answer: FuzzAnswer | undefined }> {
  let answer: FuzzAnswer;
  try {
    answer = await sender.send(request);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    // What is too large is refused while it is sent, and then nobody listens any more.
    const refused = /EPIPE|ECONNRESET|socket hang up/.test(why) && (request.body?.length ?? 0) > 1_000_000;
    return { faults: refused ? [] : [`is no answer: ${why}`], answer: undefined };
  }
  return { faults: [...world.judge.faultsOf(request, answer), ...world.takeLogFaults()], answer };
}

function sameFault(one: string, other: string): boolean {
  return one.replaceAll(VARIABLE, '#').slice(0, 60) === other.replaceAll(VARIABLE, '#').slice(0, 60);
}

function learn(world: World, op: Described, request: FuzzRequest, answer: FuzzAnswer): void {
  let body: unknown;
  try {
    body = JSON.parse(answer.body);
  } catch {
    return;
  }
  world.known.learn(body, op.id);
  // Told once, to who made it.
  for (const name of ['secret', 'key']) {
    const told = (body as Record<string, unknown> | null)?.[name]; // Whatever it is, it has names.
    // One that the caller has chosen may be chosen again.
    const isOurs = typeof told === 'string' && told.length > 20 && request.body?.includes(told) !== true;
    if (isOurs && /^create|^rotate/.test(op.id)) world.judge.keepSecret(`the ${name} of ${op.id}`, told);
  }
  if (request.body === undefined) return;
  const bodies = world.taken.get(op.id) ?? [];
  world.taken.set(op.id, bodies);
  const taken = json(request.body.toString());
  if (taken === undefined) {
    // Nobody reads the body of an operation that has none, and none may be left out.
    const isRead = op.body !== undefined && request.method.toLowerCase() === op.method && request.body.length > 0;
    if (!isRead) return;
    throw new Error(`${op.id} took a body that is no JSON: ${request.body.toString('latin1').slice(0, 1_000)}`);
  }
  if (request.body.length < 5_000) bodies.push(taken);
  if (bodies.length > KEPT_BODIES) bodies.shift();
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where credentials are required nobody comes in with others, whatever else is sent. */
async function tryClosed(
  random: Random,
  world: World,
  sender: Sender,
  request: FuzzRequest,
  keep: Keep,
  n: number,
): Promise<void> {
  const [name, value] = random.pick([
    ['x-api-key', ''],
    ['x-api-key', 'planted'],
    ['authorization', 'Bearer planted'],
    ['authorization', 'Basic YWRtaW46YWRtaW4='],
    ['authorization', 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGVzIjpbImFkbWluIl19.'],
    ['authorization', 'bearer'],
    ['cookie', 'session=admin'],
    ['x-user-id', 'admin'],
    ['x-original-url', '/livez'],
    ['x-forwarded-for', '127.0.0.1'],
  ] as [[string, string], ...Array<[string, string]>]);
  const asked = {
    ...request,
    headers: [...request.headers.filter(([other]) => other !== name), [name, value] as [string, string]],
  };
  const { faults, answer } = await ask(world, sender, asked);
  if (answer !== undefined && answer.status < 400 && !mayAnybody(asked))
    faults.push(`lets in who has no key: ${answer.status}`);
  keep(`closed ${request.op.id}`, faults, () =>
    tellOf(n, request.op.id, asked, asked, faults, answer, 'http://127.0.0.1:CLOSED'),
  );
}

/** What is public, and what CORS answers before anybody is asked who they are. */
function mayAnybody({ op, method, toOperation }: FuzzRequest): boolean {
  return method === 'OPTIONS' || op.isPublic || (!toOperation && /^\/(?:livez|healthz|readyz?|health)/.test(op.path));
}

async function tryBytes(random: Random, world: World, keep: Keep, n: number): Promise<void> {
  const bytes = someBytes(random);
  const said = await sendBytes(world.port, bytes);
  const faults = [...world.judge.leaksIn(said), ...world.takeLogFaults()];
  const statuses = [...said.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  if (said !== '' && statuses.length === 0) faults.push('is no HTTP');
  for (const status of statuses) if (status >= 500) faults.push(`is ${status}`);
  keep(
    'bytes',
    faults,
    () =>
      `request ${n}, as bytes: ${faults.join('; ')}\n${JSON.stringify(bytes.toString('latin1').slice(0, 1_000))}\nanswered ${said.slice(0, 600)}`,
  );
}

function tellOf(
  n: number,
  id: string,
  first: FuzzRequest,
  smallest: FuzzRequest,
  faults: string[],
  answer: FuzzAnswer | undefined,
  url: string,
): string {
  const ways = first.ways.length === 0 ? '' : ` (${first.ways.join(', ')})`;
  return [
    `request ${n}, ${id}${ways}: ${faults.join('; ')}`,
    curlOf(smallest, url).slice(0, 4_000),
    answer === undefined
      ? ''
      : `answered ${answer.status} ${headerOf(answer, 'content-type')} ${answer.body.slice(0, 1_500)}`,
  ].join('\n');
}
