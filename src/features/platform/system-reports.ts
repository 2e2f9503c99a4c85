/** `request_report`, `suggest_summary` and `demo_e2e`: requests to the report service and the secure analyzer. */

import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import { SOON } from './system-retries.ts';

export const requestReport: SystemWorkflow = {
  name: 'request_report',
  definition: {
    description: 'Asks the report service for a report.',
    parameters: [
      {
        name: 'path',
        type: 'string',
        enum: ['/reports/generate', '/reports/life-of-ticket', '/reports/pr_confidence'],
      },
      { name: 'body', type: 'object', default: {} },
    ],
    actions: [
      {
        action_id: 'report',
        action_type: 'service_call',
        config: { service: 'reporting', endpoint: '{{path}}', method: 'POST', parameters: '{{body}}' },
        retry: SOON,
      },
    ],
    output: '{{report.response}}',
  },
};

/** Older services wrap what they answer. */
const unwrapped = (answer: string) =>
  `(has(${answer}.data) && type(${answer}.data) == map ? ${answer}.data : ${answer})`;
const POLICY = unwrapped('policy.response');

export const suggestSummary: SystemWorkflow = {
  name: 'suggest_summary',
  definition: {
    description: 'Asks the secure analyzer which models may see a text, and has those summarize it.',
    parameters: [
      { name: 'content', type: 'string' },
      { name: 'keywords', type: 'array', required: false },
      { name: 'keyword_document', type: 'string', required: false },
      { name: 'override_policy', type: 'boolean', default: false },
    ],
    actions: [
      {
        action_id: 'policy',
        action_type: 'service_call',
        config: {
          service: 'secure_analyzer',
          endpoint: '/suggest',
          method: 'POST',
          parameters: {
            content: '{{content}}',
            keywords: '{{keywords}}',
            keyword_document: '{{keyword_document}}',
          },
        },
        retry: SOON,
      },
      {
        action_id: 'suggestion',
        action_type: 'transform',
        config: {
          outputs: {
            answer: `type(policy.response) == map ? ${POLICY} : {}["the answer is no object"]`,
            // Without them there is no policy, which must not be read as one that allows everything.
            providers: `params.override_policy ? null : ${POLICY}.allowed_models.map(name, {"name": string(name)})`,
          },
        },
      },
      {
        action_id: 'summary',
        action_type: 'service_call',
        config: {
          service: 'secure_analyzer',
          endpoint: '/summarize',
          method: 'POST',
          parameters: {
            content: '{{content}}',
            providers: '{{suggestion.providers}}',
            override_policy: '{{override_policy}}',
            keywords: '{{keywords}}',
            keyword_document: '{{keyword_document}}',
          },
        },
        retry: SOON,
      },
      {
        action_id: 'result',
        action_type: 'transform',
        config: {
          outputs: {
            suggestion: 'suggestion.answer',
            result: `type(summary.response) == map ? ${unwrapped('summary.response')} : {}["the answer is no object"]`,
            policy_override: 'params.override_policy',
            providers_used: 'suggestion.providers',
            suggestions:
              'has(suggestion.answer.suggestions) && type(suggestion.answer.suggestions) == list ? suggestion.answer.suggestions : []',
          },
        },
      },
    ],
    output: '{{result}}',
  },
};

const SUMMARY = unwrapped('summary.response');
const LOGS = unwrapped('logs.response');

export const demoE2e: SystemWorkflow = {
  name: 'demo_e2e',
  definition: {
    description: 'A summary and an analysis of the log: by the report service, or of the own executions without one.',
    parameters: [
      { name: 'format', type: 'string', default: 'json' },
      { name: 'log', type: 'object', default: { limit: 100 }, description: 'limit, service?, level?' },
      { name: 'log_request', type: 'object', default: { format: 'json', limit: 100 } },
    ],
    actions: [
      { action_id: 'service', action_type: 'find_service', config: { names: ['reporting'] } },
      {
        action_id: 'summary',
        action_type: 'service_call',
        when: 'service.service != null',
        config: {
          service: 'reporting',
          endpoint: '/reports/generate',
          method: 'POST',
          parameters: { format: '{{params.format}}' },
        },
        retry: SOON,
      },
      {
        action_id: 'logs',
        action_type: 'service_call',
        when: 'service.service != null',
        config: {
          service: 'reporting',
          endpoint: '/reports/log_analysis',
          method: 'POST',
          parameters: '{{log_request}}',
        },
        retry: SOON,
      },
      { action_id: 'own', action_type: 'run_report', when: 'service.service == null', config: '{{log}}', retry: SOON },
      {
        action_id: 'result',
        action_type: 'transform',
        depends_on: ['service', 'summary', 'logs', 'own'],
        config: {
          expression: `service.service == null ? own : {"summary": {"total": int(${SUMMARY}.total), "by_severity": ${SUMMARY}.by_severity}, "log_analysis": {"overview": {"count": int(${LOGS}.overview.count), "by_level": ${LOGS}.overview.by_level}, "sample": ${LOGS}.sample.map(line, {"service": line.service, "level": line.level, "message": line.message})}}`,
        },
      },
    ],
    output: '{{result}}',
  },
};
