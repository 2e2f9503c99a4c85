import { z } from 'zod';

/** An id as a client names it: of an execution, an action, an event, …. Nothing of it is trimmed. */
export const id = z.string().min(1).max(255);
