/** The examples of docs/semantics.md, in its order. */
import { conditions } from './conditions.ts';
import { deadline } from './deadline.ts';
import type { Example } from './example.ts';

export const EXAMPLES: readonly Example[] = [conditions, deadline];
