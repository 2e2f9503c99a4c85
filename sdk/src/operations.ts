/** Every operation of the service as a function, from the table that is generated from its OpenAPI document. */
import { OPERATIONS } from './generated/operations.ts';
import type { Operations } from './generated/types.ts';
import { type ClientOptions, newKey, type RequestOptions, send } from './request.ts';

export type OperationName = keyof Operations;
export type InputOf<Name extends OperationName> = Operations[Name]['input'];
export type AnswerOf<Name extends OperationName> = Operations[Name]['answer'];

/** Path and query parameters by their names, and `body`. */
export type Api = {
  [Name in OperationName]: Record<never, never> extends InputOf<Name>
    ? (input?: InputOf<Name>, options?: RequestOptions) => Promise<AnswerOf<Name>>
    : (input: InputOf<Name>, options?: RequestOptions) => Promise<AnswerOf<Name>>;
};

interface Parts {
  method: string;
  path: string;
  query: string[];
  keyed: boolean;
}

/** `POST /assign-task?wait key` */
function partsOf(name: OperationName): Parts {
  const [method = '', target = '', key] = OPERATIONS[name].split(' ');
  const [path = '', query] = target.split('?');
  return { method, path, query: query === undefined ? [] : query.split(','), keyed: key === 'key' };
}

export function createApi(client: ClientOptions): Api {
  const names = Object.keys(OPERATIONS) as OperationName[]; // The keys of a literal object.
  const calls = names.map((name) => [
    name,
    (input: object = {}, options: RequestOptions = {}) => call(client, name, input, options),
  ]);
  return Object.fromEntries(calls) as Api; // One function for each name.
}

/** Answers that are JSON are parsed; others are texts; an empty one is undefined. */
export async function call(
  client: ClientOptions,
  name: OperationName,
  input: object,
  options: RequestOptions & { repeatable?: boolean },
): Promise<unknown> {
  const { method, keyed } = partsOf(name);
  const { body } = input as { body?: unknown }; // As every input has it.
  const { idempotencyKey = keyed ? newKey() : undefined } = options;
  const { repeatable = false } = options;
  const request = { method, path: addressOf(name, input), body, repeatable };
  const { headers, text } = await send(client, request, { ...options, idempotencyKey });
  if (text === '') return undefined;
  return /\bjson\b/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : text;
}

/** The path of an operation with its query. */
export function addressOf(name: OperationName, input: object): string {
  const { path, query } = partsOf(name);
  const values = new Map<string, unknown>(Object.entries(input));
  const filled = path.replaceAll(/\{([^}]+)\}/g, (_, parameter: string) => {
    const value = values.get(parameter);
    if (value === undefined || value === '') throw new TypeError(`${name} needs ${parameter}`);
    return encodeURIComponent(String(value));
  });
  const search = new URLSearchParams();
  for (const parameter of query) {
    const value = values.get(parameter);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) search.append(parameter, String(one));
    }
  }
  return search.size === 0 ? filled : `${filled}?${search}`;
}
