/** How a service is made to misbehave on purpose: the same calls in the same order always meet the same fault. */
import { z } from 'zod';

const share = z.number().gt(0).max(1);

export const fault = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }).meta({ description: 'It works.' }),
  z.strictObject({ kind: z.literal('stopped') }).meta({ description: 'Nothing listens: connections are refused.' }),
  z
    .strictObject({ kind: z.literal('slow'), delay_ms: z.int().min(1).max(600_000) })
    .meta({ description: 'Every answer comes that much later.' }),
  z
    .strictObject({
      kind: z.literal('fail'),
      every: z.int().min(1).optional().meta({ description: 'Of so many calls the first one fails; 1: all' }),
      share: share.optional().meta({ description: 'Instead: this share of the calls, drawn by `seed`' }),
      seed: z.int().min(0).default(1),
      status: z.int().min(400).max(599).default(503),
    })
    .refine(({ every, share: part }) => (every === undefined) !== (part === undefined), {
      error: 'either every or share is required',
      path: ['every'],
    }),
  z
    .strictObject({
      kind: z.literal('lie'),
      how: z.enum(['content_type', 'half_answer', 'error_in_200']).meta({
        description:
          'A page of HTML; an answer that breaks off in its middle; status 200 with a body that tells of an error',
      }),
    })
    .meta({ description: 'It answers 200, and the answer is no good.' }),
  z
    .strictObject({ kind: z.literal('drift'), without: z.string().startsWith('/') })
    .meta({ description: 'Its OpenAPI document no longer has this path, and calls of it are answered 404.' }),
]);
export type Fault = z.output<typeof fault>;
export type Lie = Extract<Fault, { kind: 'lie' }>['how'];

/** What becomes of one call. */
export type Fate =
  | { does: 'answer' }
  | { does: 'wait'; delayMs: number }
  | { does: 'fail'; status: number }
  | { does: 'lie'; how: Lie }
  | { does: 'not_know' };

/** `number` counts the calls since the fault began, from 0. */
export function fateOf(current: Fault, number: number, path: string): Fate {
  switch (current.kind) {
    case 'slow':
      return { does: 'wait', delayMs: current.delay_ms };
    case 'fail':
      return fails(current, number) ? { does: 'fail', status: current.status } : { does: 'answer' };
    case 'lie':
      return { does: 'lie', how: current.how };
    case 'drift':
      return current.without === path ? { does: 'not_know' } : { does: 'answer' };
    case 'none':
    case 'stopped':
      return { does: 'answer' };
  }
}

function fails({ every, share: part, seed }: Extract<Fault, { kind: 'fail' }>, number: number): boolean {
  if (every !== undefined) return number % every === 0;
  return draw(seed, number) < (part ?? 0);
}

/** A number in [0, 1) that `seed` and `number` alone decide (the mixing of splitmix32). */
function draw(seed: number, number: number): number {
  let mixed = (Math.imul(seed + 1, 0x9e3779b9) + Math.imul(number + 1, 0x85ebca6b)) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
}
