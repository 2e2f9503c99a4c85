/** `npm run example:task-assigner`, while the service is running. */
import { endWith, targetFrom } from '../orchestrator.ts';
import { assignTasks } from './assign-tasks.ts';

await endWith(assignTasks({ ...targetFrom(process.env), say: (line) => console.log(line) }));
