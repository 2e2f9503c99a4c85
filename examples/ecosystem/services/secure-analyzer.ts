/** secure_analyzer: finds secrets and personal data, decides which models may see a text, and summarises it by one of them. */
import { z } from 'zod';
import { route, type ServiceDefinition } from '../route.ts';
import { decidePolicy, findSensitive, MODELS, type Policy, redact } from '../sensitive.ts';
import { keywordsOf, termsOf } from '../text.ts';

const input = z.object({
  content: z.string(),
  keywords: z.array(z.string()).nullish().meta({ description: 'What else is confidential' }),
  keyword_document: z.string().nullish().meta({ description: 'The same, one a line' }),
});
const finding = z.object({
  kind: z.enum(['private_key', 'api_key', 'password', 'keyword', 'card_number', 'email', 'phone', 'iban']),
  at: z.int(),
  hint: z.string(),
});
const summarised = z.object({ summary: z.string() });

export const secureAnalyzer: ServiceDefinition = {
  name: 'secure_analyzer',
  port: 5070,
  description: 'Secrets and personal data in texts, and which models may see them.',
  open: () => ({
    routes: [
      route(
        'post',
        '/suggest',
        {
          summary: 'Which models may see a text.',
          input,
          answer: z.object({
            sensitive: z.boolean(),
            severity: z.enum(['none', 'low', 'high', 'critical']),
            findings: z.array(finding),
            allowed_models: z.array(z.string()),
            suggestion: z.string(),
          }),
        },
        ({ input: given }) => {
          const { findings, policy } = examine(given);
          return {
            sensitive: policy.sensitive,
            severity: policy.severity,
            findings,
            allowed_models: policy.allowed_models,
            suggestion: `Use ${policy.allowed_models[0]}: ${policy.reason}.`,
          };
        },
      ),
      route(
        'post',
        '/summarize',
        {
          summary: 'A summary by a model that may see the text; what is sensitive is not in it.',
          input: input.extend({
            override_policy: z.boolean().nullish().meta({ description: 'Let any model see the text all the same' }),
            providers: z
              .array(z.union([z.string(), z.object({ name: z.string() })]))
              .nullish()
              .meta({ description: 'What the caller would like to use' }),
          }),
          answer: z.object({
            summary: z.string(),
            provider_used: z.string(),
            policy_enforced: z.boolean().meta({ description: 'The policy kept the text from a model that was wanted' }),
            word_count: z.int(),
            topics_detected: z.array(z.string()),
          }),
        },
        async ({ input: given, ask }) => {
          const { keywords, policy } = examine(given);
          const [first = MODELS.any[0]] = given.providers ?? [];
          const wanted = typeof first === 'string' ? first : first.name;
          const { provider, enforced } = choose(policy, wanted, given.override_policy ?? false);
          const content = redact(given.content, keywords);
          const answer = await ask('summarizer_hub', 'POST', '/summarize', { content, max_sentences: 2 });
          const { summary } = summarised.parse(answer);
          return {
            summary,
            provider_used: provider,
            policy_enforced: enforced,
            word_count: termsOf(summary).length,
            topics_detected: keywordsOf(content, 5),
          };
        },
      ),
    ],
  }),
};

function examine(given: z.output<typeof input>) {
  const lines = given.keyword_document?.split('\n').map((line) => line.trim()) ?? [];
  const keywords = [...(given.keywords ?? []), ...lines].filter((keyword) => keyword !== '');
  const findings = findSensitive(given.content, keywords);
  return { keywords, findings, policy: decidePolicy(findings) };
}

function choose(policy: Policy, wanted: string, override: boolean): { provider: string; enforced: boolean } {
  if (override || policy.allowed_models.includes(wanted)) return { provider: wanted, enforced: false };
  return { provider: policy.allowed_models[0] ?? MODELS.local[0], enforced: true };
}
