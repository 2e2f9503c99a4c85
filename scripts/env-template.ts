/** `npm run env-template`: writes .env.template from the table of variables. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Setting } from '../src/config/settings/setting.ts';
import { VARIABLE_NAMES, VARIABLES } from '../src/config/variables.ts';
import { projectRoot } from '../src/project-root.ts';

const HEAD = `# Copy this file to .env, here or one folder up, and change what differs. The environment wins over it, and it wins over
# config/orchestrator.yaml. What is commented out has the value that is shown, or none.
`;
const TAIL = `
# A service that service_call finds by the name source_agent.
# SOURCE_AGENT_URL=

# The secret that templates name as {{secrets.NAME}}.
# SECRET_NAME=
`;

export function envTemplate(): string {
  const entries = VARIABLE_NAMES.map((name) => {
    const variable: Setting = VARIABLES[name];
    const aliases = variable.aliases === undefined ? '' : ` Also: ${variable.aliases.join(', ')}.`;
    return `\n# ${variable.description}${aliases}\n# ${name}=${variable.default ?? ''}\n`;
  });
  return [HEAD, ...entries, TAIL].join('');
}

if (process.argv[1] === import.meta.filename) writeFileSync(path.join(projectRoot(), '.env.template'), envTemplate());
