/** The problems of operations in the OpenAPI document: each answer names its codes, with an example of each. */
import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { oas31, ZodOpenApiResponseObject } from 'zod-openapi';
import { allErrorCodes, describe, type ErrorCode } from '../../domain/errors.ts';
import { type Problem, problem } from '../../schemas/answers.ts';
import type { Operation } from './operation.ts';
import { problemsOf } from './problem-codes.ts';

const TYPE = 'application/problem+json';
const EXAMPLES = '#/components/examples/';
/** Of the HTTP parser: malformed, too slow, headers too large. */
const UNREADABLE = [400, 408, 431];
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

/** Those with the same status and codes are one component, whichever operations have them. */
export type ProblemResponses = (op: Operation) => Array<[number, ZodOpenApiResponseObject]>;

export function createProblemResponses(): ProblemResponses {
  const made = new Map<string, ZodOpenApiResponseObject>();
  return (op) =>
    problemsOf(op).map(([status, codes]) => {
      if (op.problemPages?.includes(status) === true) return [status, withPage(status, codes)];
      // The codes are the name: it stays what it is when other operations come and go.
      const id = `Problem${status}.${codes.join('.')}`;
      const response = made.get(id) ?? { id, ...responseOf(status, codes) };
      made.set(id, response);
      return [status, response];
    });
}

/** By code, of all that any of the operations can answer. */
export function problemExamples(operations: readonly Operation[]): Record<string, { summary: string; value: Problem }> {
  const used = new Set(operations.flatMap((op) => problemsOf(op).flatMap(([, codes]) => codes)));
  const codes = allErrorCodes().filter((code) => used.has(code));
  return Object.fromEntries(codes.map((code) => [code, { summary: describe(code).title, value: exampleOf(code) }]));
}

/** What is answered where no operation is known: nothing is served there, or the request cannot be read so far. */
export function otherProblems(): Record<string, ZodOpenApiResponseObject> {
  const unreadable = UNREADABLE.map((status): [number, ErrorCode] => [status, 'invalid_request']);
  const answers: Array<[number, ErrorCode]> = [[404, 'not_found'], [405, 'method_not_allowed'], ...unreadable];
  return Object.fromEntries(
    answers.map(([status, code]) => {
      const example = { ...exampleOf(code), status, title: STATUS_CODES[status] ?? '', instance: '' };
      // One of them has the schema itself, which makes it a component.
      const schema = status === UNREADABLE[0] ? problem : limitedTo([code]);
      const content = { [TYPE]: { schema, example } };
      return [`NoOperation${status}`, { description: STATUS_CODES[status] ?? '', content }];
    }),
  );
}

function exampleOf(code: ErrorCode): Problem {
  const { status, title } = describe(code);
  return {
    type: `urn:orchestrator:problem:${code}`,
    title,
    status,
    detail: title,
    instance: '/workflows',
    code,
    trace_id: TRACE,
    message: title,
    error_code: code,
  };
}

function responseOf(status: number, codes: readonly ErrorCode[]) {
  return {
    description: `${STATUS_CODES[status] ?? 'An error'}: ${codes.map((code) => `\`${code}\``).join(', ')}`,
    content: {
      [TYPE]: {
        schema: limitedTo(codes),
        examples: Object.fromEntries(codes.map((code) => [code, { $ref: `${EXAMPLES}${code}` }])),
      },
    },
  } satisfies ZodOpenApiResponseObject;
}

function withPage(status: number, codes: readonly ErrorCode[]): ZodOpenApiResponseObject {
  const { description, content } = responseOf(status, codes);
  const page = z.string().meta({ example: '<!doctype html>' });
  return {
    description: `${description}; an HTML page if the client accepts text/html`,
    content: { ...content, 'text/html': { schema: page } },
  };
}

/** The codes stand beside the reference, so that readers of problems have one type for all operations. */
function limitedTo(codes: readonly ErrorCode[]): oas31.SchemaObject {
  return {
    type: 'object',
    properties: { code: { type: 'string', enum: [...codes] } },
    allOf: [{ $ref: '#/components/schemas/Problem' }],
  };
}
