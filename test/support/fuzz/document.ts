/** The operations as the document describes them to clients: what the fuzzer knows of the service it knows from here. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { operationsOf } from '../../../src/compose/features.ts';
import { createApiDocument } from '../../../src/http/server/openapi.ts';

const API_OPERATIONS = await operationsOf();

/** A JSON Schema, as far as it is looked into. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  example?: unknown;
  examples?: unknown[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

export interface Parameter {
  in: 'path' | 'query' | 'header';
  name: string;
  required?: boolean;
  schema: Schema;
}

export interface Described {
  id: string;
  method: string;
  path: string;
  isPublic: boolean;
  parameters: Parameter[];
  body: Schema | undefined;
  bodyRequired: boolean;
  /** Status -> media type -> what is wrong with a body; an empty text: nothing. */
  answers: ReadonlyMap<number, ReadonlyMap<string, (body: unknown) => string>>;
}

export interface Document {
  operations: Described[];
  resolve(schema: Schema): Schema;
}

interface RawOperation {
  operationId: string;
  'x-permission': string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { $ref?: string; content?: Record<string, { schema?: Schema }> }>;
}
interface RawDocument {
  paths: Record<string, Record<string, RawOperation>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, RawOperation['responses'][string]> };
}

export function readDocument(): Document {
  // As a client reads it: through JSON.
  const raw = JSON.parse(
    JSON.stringify(createApiDocument(API_OPERATIONS, { version: '1', serverUrl: undefined })),
  ) as RawDocument;
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, logger: false });
  // Its types are those of a module of CommonJS.
  (addFormats as unknown as (to: Ajv2020) => void)(ajv);
  ajv.addSchema({ $id: 'api', components: raw.components });
  const check = (schema: Schema) => {
    const rooted = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/')) as Schema;
    let validate: ReturnType<Ajv2020['compile']> | undefined;
    return (body: unknown) => {
      validate ??= ajv.compile(rooted);
      return validate(body) ? '' : ajv.errorsText(validate.errors, { dataVar: 'body' });
    };
  };
  const operations = Object.entries(raw.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, op]): Described => {
      const content = op.requestBody?.content['application/json'];
      return {
        id: op.operationId,
        method: method.toUpperCase(),
        path,
        isPublic: op['x-permission'] === 'public',
        parameters: op.parameters ?? [],
        body: content?.schema,
        bodyRequired: op.requestBody?.required === true,
        answers: new Map(
          Object.entries(op.responses).map(([status, given]) => {
            const name = given.$ref?.split('/').at(-1);
            const answer = name === undefined ? given : raw.components.responses[name];
            const types = Object.entries(answer?.content ?? {});
            return [Number(status), new Map(types.map(([type, { schema }]) => [type, check(schema ?? {})]))];
          }),
        ),
      };
    }),
  );
  return {
    operations,
    resolve(schema) {
      let at = schema;
      while (at.$ref !== undefined) at = raw.components.schemas[at.$ref.split('/').at(-1) ?? ''] ?? {};
      return at;
    },
  };
}
