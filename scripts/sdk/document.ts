/** The OpenAPI document as both clients are generated from it: its operations, one by one. */
import type { Schema } from './schema-types.ts';

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  pathNames: string[];
  query: Array<{ name: string; required: boolean; schema: Schema }>;
  /** The schema of the body; undefined: there is none. */
  body: { schema: Schema; required: boolean } | undefined;
  /** Takes an `Idempotency-Key`: a repeated request is answered as the first one was. */
  keyed: boolean;
  /** Of every good answer: its JSON, `text`, or nothing. */
  answers: Array<{ json: Schema } | 'text' | 'nothing'>;
}

export interface Document {
  schemas: Record<string, Schema>;
  operations: Operation[];
}

interface Parameter {
  in: string;
  name: string;
  required?: boolean;
  schema?: Schema;
}
interface Media {
  schema?: Schema;
}
interface PathOperation {
  operationId: string;
  summary: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, Media> };
  responses: Record<string, { $ref?: string; content?: Record<string, Media> }>;
}

export interface RawDocument {
  paths: Record<string, Record<string, PathOperation>>;
  components: { schemas: Record<string, Schema> };
}

const METHODS: ReadonlySet<string> = new Set(['get', 'post', 'put', 'patch', 'delete']);
const JSON_TYPE = 'application/json';

export function readDocument(raw: RawDocument): Document {
  const operations: Operation[] = [];
  for (const [path, item] of Object.entries(raw.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (METHODS.has(method)) operations.push(operationOf(path, method, operation));
    }
  }
  return { schemas: raw.components.schemas, operations };
}

function operationOf(path: string, method: string, raw: PathOperation): Operation {
  const parameters = raw.parameters ?? [];
  const query = parameters.filter((one) => one.in === 'query');
  const pathNames = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => name);
  const names = [...pathNames, ...query.map(({ name }) => name), 'body'];
  if (new Set(names).size < names.length) throw new Error(`${raw.operationId} has two arguments of one name`);
  return {
    id: raw.operationId,
    method: method.toUpperCase(),
    path,
    summary: raw.summary,
    pathNames,
    query: query.map(({ name, required = false, schema = {} }) => ({ name, required, schema })),
    body: bodyOf(raw),
    keyed: parameters.some((one) => one.in === 'header' && one.name.toLowerCase() === 'idempotency-key'),
    answers: answersOf(raw),
  };
}

function bodyOf({ requestBody }: PathOperation): Operation['body'] {
  if (requestBody === undefined) return undefined;
  const { required = false, content } = requestBody;
  const media = content[JSON_TYPE] ?? Object.values(content)[0];
  return { schema: media?.schema ?? {}, required };
}

function answersOf({ responses }: PathOperation): Operation['answers'] {
  return Object.entries(responses)
    .filter(([status]) => /^2\d\d$/.test(status))
    .map(([, { content }]) => {
      if (content === undefined || Object.keys(content).length === 0) return 'nothing';
      const json = content[JSON_TYPE];
      return json === undefined ? 'text' : { json: json.schema ?? {} };
    });
}
