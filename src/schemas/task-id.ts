/** The id of a task: that of its action, of an item or iteration of it (`fetch[12]`) or of its compensation (`pay~undo`). */
import { z } from 'zod';

/** Of an action as of anything else, and a position. */
export const MAX_TASK_ID_LENGTH = 255 + '[999999999]'.length;

export const taskId = z.string().min(1).max(MAX_TASK_ID_LENGTH);
