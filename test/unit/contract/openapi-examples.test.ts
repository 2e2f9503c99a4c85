import { describe, expect, test } from 'vitest';
import {
  createFaultsAt,
  type MediaType,
  type OperationObject,
  readContract,
  resolved,
  step,
  wordsOf,
} from '../../support/contract/document.ts';

const document = readContract();
const faultsAt = createFaultsAt(document);

interface Example {
  /** Where its schema is. */
  schema: string;
  value: unknown;
}
interface Place {
  where: string;
  pointer: string;
  media: MediaType;
}

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({
    operation,
    pointer: `#/paths/${step(path)}/${method}`,
  })),
);

/** Bodies of requests and of answers, problems among them. */
function placesOf(operation: OperationObject, pointer: string): Place[] {
  const bodies = mediaOf(operation.requestBody?.content, `${pointer}/requestBody`, `${operation.operationId} request`);
  const answers = Object.entries(operation.responses).flatMap(([status, response]) => {
    const found = resolved(document, response, `${pointer}/responses/${status}`);
    return mediaOf(found.value.content, found.pointer, `${operation.operationId} ${status}`);
  });
  return [...bodies, ...answers];
}

function mediaOf(content: Record<string, MediaType> = {}, pointer: string, where: string): Place[] {
  return Object.entries(content).map(([type, media]) => ({
    where: `${where} ${type}`,
    pointer: `${pointer}/content/${step(type)}`,
    media,
  }));
}

function examplesOf({ media, pointer }: Place): Example[] {
  const schema = `${pointer}/schema`;
  const named = Object.values(media.examples ?? {}).map((example) => resolved(document, example, '').value.value);
  const own = [...(media.example === undefined ? [] : [media.example]), ...named];
  if (own.length > 0) return own.map((value) => ({ schema, value }));
  const described = resolved(document, media.schema ?? {}, schema);
  return writtenIn(described.value).map((value) => ({ schema, value }));
}

function writtenIn(schema: object): unknown[] {
  const { example, examples } = schema as { example?: unknown; examples?: unknown };
  return [...(example === undefined ? [] : [example]), ...(Array.isArray(examples) ? examples : [])];
}

/** Every schema of the document that has an example, wherever it is. */
function schemasWithExamples(value: unknown, pointer = '#'): Array<{ pointer: string; examples: unknown[] }> {
  if (typeof value !== 'object' || value === null) return [];
  const isSchema = ['type', '$ref', 'anyOf', 'allOf', 'oneOf', 'enum'].some((key) => Object.hasOwn(value, key));
  const here = isSchema ? writtenIn(value) : [];
  const below = Object.entries(value).flatMap(([key, inner]) =>
    // What is below an example is data.
    ['example', 'examples', 'default'].includes(key) && pointer !== '#/components'
      ? []
      : schemasWithExamples(inner, `${pointer}/${step(key)}`),
  );
  return [...(here.length > 0 ? [{ pointer, examples: here }] : []), ...below];
}

describe('examples of the OpenAPI document', () => {
  test('each body of a request and of an answer has one, and it fits', () => {
    const wrong = operations.flatMap(({ operation, pointer }) =>
      placesOf(operation, pointer).flatMap((place) => {
        const examples = examplesOf(place);
        if (examples.length === 0) return [`${place.where} has none`];
        return examples.flatMap(({ schema, value }) => {
          const faults = faultsAt(schema, value);
          return faults.length === 0 ? [] : [`${place.where}: ${wordsOf(faults)}`];
        });
      }),
    );
    expect([...new Set(wrong)]).toEqual([]);
  });

  test('those of fields and of parts fit as well', () => {
    const found = schemasWithExamples(document.components, '#/components').concat(
      schemasWithExamples(document.paths, '#/paths'),
    );
    const wrong = found.flatMap(({ pointer, examples }) =>
      examples.flatMap((value) => {
        const faults = faultsAt(pointer, value);
        return faults.length === 0 ? [] : [`${pointer}: ${wordsOf(faults)}`];
      }),
    );
    expect(found.length).toBeGreaterThan(100);
    expect(wrong).toEqual([]);
  });

  test('each parameter that a request must have has one, and it fits', () => {
    const wrong = operations.flatMap(({ operation, pointer }) =>
      (operation.parameters ?? []).flatMap((written, index) => {
        const { value, pointer: at } = resolved(document, written, `${pointer}/parameters/${index}`);
        if (value.required !== true) return [];
        const where = `${operation.operationId} ${value.name}`;
        const examples = value.example === undefined ? writtenIn(value.schema) : [value.example];
        if (examples.length === 0) return [`${where} has none`];
        return examples.flatMap((example) => {
          const faults = faultsAt(`${at}/schema`, example);
          return faults.length === 0 ? [] : [`${where}: ${wordsOf(faults)}`];
        });
      }),
    );
    expect(wrong).toEqual([]);
  });

  test('each code of a problem has one of its own', () => {
    const wrong = operations.flatMap(({ operation }) =>
      Object.values(operation.responses).flatMap((response) => {
        const { content = {} } = resolved(document, response, '').value;
        const media = content['application/problem+json'];
        if (media === undefined) return [];
        const { enum: codes } = (media.schema as { properties: { code: { enum: string[] } } }).properties.code;
        return codes.filter((code) => media.examples?.[code] === undefined);
      }),
    );
    expect(wrong).toEqual([]);
  });
});
