/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { externalTasksOf } from './assemble.ts';
import { TOPIC_CHANNEL } from './attempt-store.ts';
import { externalTaskRoutes } from './routes.ts';
import { createWaitingPolls } from './waiting-polls.ts';

export const api = featureApi([externalTaskRoutes], ({ config, ...parts }) => {
  const polls = createWaitingPolls();
  return {
    externalTasks: externalTasksOf({ ...parts, polls, hidden: config.hidden }),
    hooks: { channels: { [TOPIC_CHANNEL]: polls.notice }, onGap: polls.noticeAll, stop: polls.close },
  };
});
