/** What must hold for every answer, whatever was asked. */

import { projectRoot } from '../../../src/project-root.ts';
import { problem } from '../../../src/schemas/answers.ts';
import { type FuzzRequest, targetOf } from './requests.ts';
import type { FuzzAnswer } from './send.ts';

/** Traces of what is behind the door. None of them is in any request, so none is an echo. */
const INSIDES: ReadonlyArray<[string, RegExp]> = [
  ['a stack trace', /\n\s+at .*[:(]\d+:\d+\)?|\bat (?:async )?[\w.<>]+ \((?:file:|node:|\/)/],
  [
    'a path of this machine',
    new RegExp(`${escaped(projectRoot())}|node_modules/|file:///[a-z]+/|/src/(?:store|engine|http)/`),
  ],
  [
    'words of the database',
    /syntax error at or near|invalid input syntax for|violates (?:unique|foreign key|check|not-null)|duplicate key value|relation "\w+" does not exist|column "\w+" does not exist|out of range for type|invalid byte sequence|could not determine data type|bind message supplies|PrismaClient|deadlock detected|unsupported Unicode escape/,
  ],
  ['words of the queue', /ReplyError|WRONGTYPE|user_script:|ERR Error running script/],
  [
    'words of the runtime',
    /TypeError|RangeError:|Cannot read properties of|is not a function|is not iterable|Unexpected token|Converting circular|Maximum call stack/,
  ],
];

/** Statuses with which the server itself, or what reads bodies, may answer any request. */
const ANY_OPERATION = new Set([400, 404, 413, 414, 415, 431]);

export interface Judge {
  /** What is wrong with the answer. */
  faultsOf(request: FuzzRequest, answer: FuzzAnswer): string[];
  /** What is wrong with any text that leaves the service. */
  leaksIn(text: string): string[];
  /** From now on this may be in no answer. */
  keepSecret(what: string, value: string): void;
}

export function createJudge(): Judge {
  const secrets = new Map<string, string>();
  const secretsIn = (text: string) =>
    [...secrets].filter(([, value]) => text.includes(value)).map(([what]) => `tells ${what}`);
  const leaksIn = (text: string) => [
    ...secretsIn(text),
    ...INSIDES.flatMap(([what, pattern]) => {
      const found = pattern.exec(text)?.[0];
      return found === undefined ? [] : [`tells ${what}: ${found.slice(0, 120)}`];
    }),
  ];
  return {
    leaksIn,
    keepSecret: (what, value) => void secrets.set(what, value),
    faultsOf(request, answer) {
      const { op } = request;
      const faults: string[] = [];
      const type = headerOf(answer, 'content-type').split(';', 1)[0] ?? '';
      const described = op.answers.get(answer.status);
      const told = `${answer.headers.map((pair) => pair.join(': ')).join('\n')}\n${answer.body}`;
      // Pages and their scripts are full of words; what they are is fixed.
      faults.push(...(type === 'text/html' || isDocument(op.id) ? secretsIn(told) : leaksIn(told)));
      for (const name of ['x-request-id', 'traceparent'])
        if (headerOf(answer, name) === '') faults.push(`has no ${name}`);
      const isProblem = type === 'application/problem+json';
      const expected = isProblem ? isExpected(request, answer) : described !== undefined;
      if (answer.status >= 500 && !expected) faults.push(`is ${answer.status}`);
      if (request.method === 'HEAD' || answer.isStream) return faults;
      if (answer.status >= 400 && !(described?.has(type) === true && !isProblem))
        faults.push(...problemFaults(answer, type));
      if (!request.toOperation) return faults;
      if (described === undefined && !ANY_OPERATION.has(answer.status))
        faults.push(`is ${answer.status}, which the document does not name`);
      // The schema of a problem lists its codes; the parser of HTTP answers before anybody knows the operation.
      const isOfOperation = isProblem && !answer.body.includes('"instance":""');
      if (described !== undefined && (answer.status < 300 || isOfOperation))
        faults.push(...bodyFaults(answer, type, described));
      return faults;
    },
  };
}

/** Of another service: nobody answers here, so a run that asks one fails, or is still waiting. */
function isExpected({ op }: FuzzRequest, answer: FuzzAnswer): boolean {
  return (answer.status === 502 || answer.status === 504) && op.answers.has(answer.status);
}

function isDocument(id: string): boolean {
  return id === 'getOpenApiJson' || id === 'getOpenApiYaml' || id === 'getDocs' || id === 'getRedoc';
}

function bodyFaults(
  answer: FuzzAnswer,
  type: string,
  described: ReadonlyMap<string, (body: unknown) => string>,
): string[] {
  if (described.size === 0) return answer.body === '' ? [] : ['has a body that the document does not name'];
  const check = described.get(type);
  if (check === undefined) return [`is of type '${type}', which the document does not name`];
  if (!/json$/.test(type)) return [];
  // Of lines each is one.
  const bodies = type.endsWith('ndjson') ? answer.body.split('\n').filter((line) => line !== '') : [answer.body];
  const faults = new Set<string>();
  for (const body of bodies) {
    try {
      const fault = check(JSON.parse(body));
      if (fault !== '') faults.add(`does not fit its schema: ${fault}`);
    } catch {
      faults.add('is no JSON');
    }
  }
  return [...faults];
}

function problemFaults(answer: FuzzAnswer, type: string): string[] {
  if (type !== 'application/problem+json')
    return [`is ${answer.status} of type '${type}' instead of a problem document`];
  let body: unknown;
  try {
    body = JSON.parse(answer.body);
  } catch {
    return ['is no JSON'];
  }
  const parsed = problem.safeParse(body);
  if (!parsed.success) return [`is no problem document: ${parsed.error.message.slice(0, 300)}`];
  const { status, message, detail, code, error_code } = parsed.data;
  return [
    ...(status === answer.status ? [] : [`says ${status} in its body and is ${answer.status}`]),
    ...(message === detail && code === error_code ? [] : ['says one thing to older clients and another to others']),
  ];
}

export function headerOf(answer: FuzzAnswer, name: string): string {
  return answer.headers.find(([other]) => other === name)?.[1] ?? '';
}

export function curlOf(request: FuzzRequest, url: string): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = [`curl -i -X ${request.method} --path-as-is -g`];
  for (const [name, value] of request.headers)
    parts.push(`-H ${quoted(value === '' ? `${name};` : `${name}: ${value.slice(0, 300)}`)}`);
  if (request.body !== undefined) {
    const text = request.body.toString();
    const isText = Buffer.from(text).equals(request.body) && !text.includes('\u0000');
    if (isText && text.length < 20_000) parts.push(`--data-binary ${quoted(text)}`);
    else parts.push(`--data-binary @<(base64 -d <<< ${request.body.subarray(0, 60_000).toString('base64')})`);
  }
  parts.push(quoted(`${url}${targetOf(request)}`));
  return parts.join(' ');
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
