/** llm_gateway: the protocol of OpenAI's chat completions, before a model that always says the same to the same. */
import type { Response } from 'express';
import { z } from 'zod';
import { Refusal, route, type ServiceDefinition } from '../route.ts';
import { keywordsOf, sentencesOf, sha256, summarise } from '../text.ts';

const content = z.union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))]);
const completion = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({ role: z.literal('assistant'), content: z.string() }),
      finish_reason: z.enum(['stop', 'length']),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() }),
});
type Completion = z.output<typeof completion>;

/** The models: each makes a text of a text. */
const MODELS: ReadonlyMap<string, (text: string, sentences: number) => string> = new Map([
  ['default', summarise],
  ['local-extractive', summarise],
  ['local-lead', (text: string, sentences: number) => sentencesOf(text).slice(0, sentences).join(' ')],
  ['local-keywords', (text: string) => keywordsOf(text).join(', ')],
]);
const DEFAULT_MODEL = 'default';
const DEFAULT_SENTENCES = 3;

export const llmGateway: ServiceDefinition = {
  name: 'llm_gateway',
  port: 5055,
  description: 'Chat completions of local models that always say the same to the same.',
  open: () => ({
    routes: [
      route(
        'get',
        '/v1/models',
        {
          summary: 'The models.',
          input: z.object({}),
          answer: z.object({
            object: z.literal('list'),
            data: z.array(z.object({ id: z.string(), object: z.literal('model'), owned_by: z.string() })),
          }),
        },
        () => ({
          object: 'list' as const,
          data: [...MODELS.keys()].map((id) => ({ id, object: 'model' as const, owned_by: 'local' })),
        }),
      ),
      route(
        'post',
        '/v1/chat/completions',
        {
          summary: 'The answer of a model to a conversation.',
          input: z.object({
            model: z.string().default(DEFAULT_MODEL),
            messages: z.array(z.object({ role: z.enum(['system', 'developer', 'user', 'assistant']), content })).min(1),
            max_tokens: z.int().min(1).optional(),
            stream: z.boolean().default(false),
          }),
          answer: completion,
        },
        ({ input: { model, messages, max_tokens, stream }, response }) => {
          const answering = MODELS.get(model);
          if (answering === undefined) {
            throw new Refusal(404, `there is no model ${model}: ${[...MODELS.keys()].join(', ')}`);
          }
          const prompt = messages.map((message) => ({ role: message.role, text: textOf(message.content) }));
          const asked = prompt.findLast(({ role }) => role === 'user')?.text ?? '';
          const wanted = prompt.map((message) => message.text).join('\n');
          const text = withinWords((sentences) => answering(asked, sentences), wanted);
          const made = complete(
            model,
            prompt.map((message) => message.text),
            text,
            max_tokens,
          );
          if (!stream) return made;
          sendInChunks(made, response);
          return undefined;
        },
      ),
    ],
  }),
};

function textOf(given: z.output<typeof content>): string {
  return typeof given === 'string' ? given : given.flatMap(({ text }) => (text === undefined ? [] : [text])).join('\n');
}

/** `… in at most 50 words`: as many sentences as fit, and one at least. */
function withinWords(answering: (sentences: number) => string, prompt: string): string {
  const most = Number(/\bat most (\d{1,6}) words\b/i.exec(prompt)?.[1] ?? Number.POSITIVE_INFINITY);
  let sentences = sentencesWanted(prompt);
  while (sentences > 1 && tokensOf(answering(sentences)).length > most) sentences -= 1;
  return answering(sentences);
}

/** `… in two sentences`, `in 5 sentences`. */
function sentencesWanted(prompt: string): number {
  const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];
  const said = /\bin (\w+) sentences?\b/i.exec(prompt)?.[1]?.toLowerCase();
  if (said === undefined) return DEFAULT_SENTENCES;
  const wanted = /^\d+$/.test(said) ? Number(said) : words.indexOf(said) + 1;
  return wanted > 0 ? wanted : DEFAULT_SENTENCES;
}

function complete(model: string, prompt: readonly string[], text: string, most: number | undefined): Completion {
  const all = tokensOf(text);
  const cut = most !== undefined && all.length > most;
  const content = cut ? all.slice(0, most).join(' ') : text;
  const used = { prompt_tokens: tokensOf(prompt.join(' ')).length, completion_tokens: tokensOf(content).length };
  return {
    // No clock and no chance in it: the same question has the same answer, whole.
    id: `chatcmpl-${sha256(`${model}\n${prompt.join('\n')}`).slice(0, 24)}`,
    object: 'chat.completion',
    created: 0,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: cut ? 'length' : 'stop' }],
    usage: { ...used, total_tokens: used.prompt_tokens + used.completion_tokens },
  };
}

/** A word is a token here. */
function tokensOf(text: string): string[] {
  return text.split(/\s+/).filter((token) => token !== '');
}

function sendInChunks({ id, created, model, choices, usage }: Completion, response: Response): void {
  const [choice] = choices;
  const pieces = choice?.message.content.match(/\S+\s*/g) ?? [];
  const chunk = (delta: object, finish: string | null) => ({
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...(finish === null ? {} : { usage }),
  });
  const chunks = [
    chunk({ role: 'assistant', content: '' }, null),
    ...pieces.map((piece) => chunk({ content: piece }, null)),
    chunk({}, choice?.finish_reason ?? 'stop'),
  ];
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (const part of chunks) response.write(`data: ${JSON.stringify(part)}\n\n`);
  response.end('data: [DONE]\n\n');
}
