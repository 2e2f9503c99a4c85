/** The id of a task: that of its action, or of a part of it, as an item or iteration (`fetch[12]`) or an undoing (`pay~undo`). */
import { z } from 'zod';

/** Of an action as of anything else, and a position. */
export const MAX_TASK_ID_LENGTH = 255 + '[999999999]'.length;

export const taskId = z.string().min(1).max(MAX_TASK_ID_LENGTH);
