/** How the service's own workflows try again: somebody waits for most of them, so they do it soon and not for long. */
import type { JsonObject } from '../../schemas/json.ts';

export const SOON: JsonObject = { max_attempts: 3, backoff: 'exponential', initial_delay_seconds: 0.25 };
