/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createWorkflowTemplates } from './manage-templates.ts';
import { workflowTemplateRoutes } from './routes.ts';
import { readShippedTemplates } from './shipped-templates.ts';
import { createTemplateStore } from './store.ts';

export const api = featureApi([workflowTemplateRoutes], ({ pool, prisma, ...parts }) => {
  const { workflows, rules, normaliseOwn, links, catalogue } = parts;
  const shipped = new Map([...readShippedTemplates()].map(([name, body]) => [name, normaliseOwn(body).definition]));
  const templates = createTemplateStore({ pool, prisma });
  return {
    templates: createWorkflowTemplates({ shipped, templates, workflows, actionTypes: catalogue }),
    definitions: rules,
    workflows,
    links,
  };
});
