/** Requests and responses of the API about secrets: their values go in only. */
import { z } from 'zod';
import { count, pageExample, paging, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const MAX_VALUE_BYTES = 65_536;
const MAX_HOSTS = 50;
/** As they can be written in a template. */
export const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;

/** `isHost` comes from the domain, which alone decides what a host is. */
export function secretRequestWith(isHost: (text: string) => boolean) {
  return z
    .strictObject({
      value: z
        .string()
        .min(1)
        .refine((value) => new TextEncoder().encode(value).length <= MAX_VALUE_BYTES, {
          error: `must have at most ${MAX_VALUE_BYTES} bytes`,
        })
        .meta({
          description: 'The secret value; it is never returned',
          example: 'a token that the other side gave you',
        }),
      hosts: z
        .array(
          z.string().max(255).refine(isHost, {
            error: 'must be a host in small letters, as api.example.com, api.example.com:8443 or *.example.com',
          }),
        )
        .min(1)
        .max(MAX_HOSTS)
        .nullable()
        .optional()
        .meta({
          description:
            'Hosts the secret may be sent to. A host without a port means the default port of http or https. Left out: unchanged, and any host for a new secret; null: any host',
          example: ['api.example.com'],
        }),
      description: z.string().max(1_000).nullable().optional(),
    })
    .meta({
      id: 'SecretRequest',
      example: { value: 'a token that the other side gave you', hosts: ['api.example.com'] },
    });
}

const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
export const secretListQuery = z.object({
  page: integer(1, 1_000_000).default(1).meta({ example: 1 }),
  page_size: integer(1, 200).default(50).meta({ example: 50 }),
});

export const secret = z
  .object({
    name: text,
    hosts: z.array(text).nullable().meta({ description: 'null: it may be sent to any host' }),
    description: text.nullable(),
    version: count.meta({ description: 'Increases by one with every change' }),
    created_by: text,
    updated_by: text,
    created_at: time,
    updated_at: time,
  })
  .meta({
    id: 'Secret',
    example: {
      name: 'PAYMENTS_TOKEN',
      hosts: ['api.example.com'],
      description: null,
      version: 1,
      created_by: 'anonymous',
      updated_by: 'anonymous',
      created_at: WHEN,
      updated_at: WHEN,
    },
  });

export const secretList = z
  .object({ items: z.array(secret), ...paging })
  .meta({ id: 'SecretList', example: pageExample(secret) });

export type SecretAnswer = z.infer<typeof secret>;
