/** The examples of docs/semantics.md, in its order. */
import { approval } from './approval.ts';
import { cache } from './cache.ts';
import { concurrency } from './concurrency.ts';
import { conditions } from './conditions.ts';
import { control } from './control.ts';
import { deadline } from './deadline.ts';
import { dedupe } from './dedupe.ts';
import type { Example } from './example.ts';
import { external } from './external.ts';
import { fairness } from './fairness.ts';
import { fanOut } from './fan-out.ts';
import { liveEvents } from './live-events.ts';
import { loop } from './loop.ts';
import { progressExample } from './progress.ts';
import { saga } from './saga.ts';
import { schedules } from './schedules.ts';
import { signal } from './signal.ts';
import { subworkflow } from './subworkflow.ts';
import { timers } from './timers.ts';
import { triggers } from './triggers.ts';
import { versions } from './versions.ts';
import { webhooks } from './webhooks.ts';

export const EXAMPLES: readonly Example[] = [
  conditions,
  timers,
  schedules,
  liveEvents,
  fanOut,
  loop,
  saga,
  deadline,
  dedupe,
  concurrency,
  fairness,
  cache,
  progressExample,
  versions,
  external,
  webhooks,
  subworkflow,
  control,
  approval,
  signal,
  triggers,
];
