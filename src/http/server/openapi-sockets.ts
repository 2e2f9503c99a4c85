/**
 * WebSockets in the OpenAPI document. The request that opens one is described as any other, with 101 as its answer; for what
 * is sent afterwards OpenAPI has no word, so `x-websocket` refers to the schema.
 */
import { STATUS_CODES } from 'node:http';
import type { ZodType } from 'zod';
import type { oas31, ZodOpenApiPathItemObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import type { Needed } from '../../domain/access.ts';
import type { Tag } from './operation.ts';

export interface Socket {
  id: string;
  permission: Needed;
  tag: Tag;
  path: string;
  summary: string;
  description: string;
  /** What the service sends: each message is JSON. It has an id. */
  messages: ZodType;
  /** Close codes -> what they mean. */
  closes: Readonly<Record<number, string>>;
  /** Statuses with which the upgrade is rejected, each without a body. */
  rejections: readonly number[];
  parameters: readonly oas31.ParameterObject[];
}

export function socketPath(socket: Socket): ZodOpenApiPathItemObject {
  const { id, tag, summary, description, permission, messages, closes, parameters, rejections } = socket;
  const responses = [101, ...rejections].map((status) => [`${status}`, { description: STATUS_CODES[status] ?? '' }]);
  return {
    get: {
      operationId: id,
      tags: [tag],
      summary,
      description,
      'x-permission': permission,
      'x-websocket': { messages: referenceTo(messages), closes },
      parameters: [...parameters],
      responses: Object.fromEntries(responses) as ZodOpenApiResponsesObject,
    },
  };
}

/** As components, by their ids: an extension cannot hold a schema itself. */
export function componentsOf(schemas: readonly ZodType[]): Record<string, ZodType> {
  return Object.fromEntries(schemas.map((schema) => [idOf(schema), schema]));
}

export function referenceTo(schema: ZodType): { $ref: string } {
  return { $ref: `#/components/schemas/${idOf(schema)}` };
}

function idOf(schema: ZodType): string {
  const id = schema.meta()?.id;
  if (id === undefined) throw new Error('a schema that is referred to by name has an id');
  return id;
}
