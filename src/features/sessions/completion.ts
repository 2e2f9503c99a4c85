/** The answer of a model to a prompt: of the service `llm_gateway`, or a simulation that says so. */
import { z } from 'zod';
import { type AdapterContext, expectOk, RetryableError, readBody } from '../../../workers/adapter.ts';
import { belowService, callService, type Exchange } from '../../../workers/call-service.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { promptSummary } from './domain.ts';

const LLM_GATEWAY = 'llm_gateway';
const PATH = '/v1/chat/completions';

export interface CompletionRequest {
  session_id: string;
  tenant: string;
  user: string;
  model: string;
  prompt: string;
}

/** What was said in the round before, as it is remembered. */
const memoryShape = z.looseObject({ prompt: z.string(), completion: z.string() });

const chat = z.looseObject({
  model: z.string().optional(),
  choices: z.array(z.looseObject({ message: z.looseObject({ content: z.string() }) })).min(1),
});
/** Of a gateway that speaks no protocol of chats. */
const plain = z.looseObject({ model: z.string().optional(), completion: z.string() });

interface Answer {
  completion: string;
  model: string | undefined;
}

/** `memory`: of the round before, if it is known. */
export async function complete(
  context: AdapterContext,
  request: CompletionRequest,
  memory: Json = null,
): Promise<JsonObject> {
  const { prompt, model } = request;
  const isThere = (await context.service(LLM_GATEWAY)) !== undefined;
  const answer = isThere ? await call(context, bodyOf(request, memory)) : undefined;
  const common = { prompt_summary: promptSummary(prompt), generated_at: context.now().toISOString() };
  if (answer !== undefined) return { ...common, completion: answer.completion, model: answer.model ?? model };
  const completion = `Model ${model} acknowledged a prompt of ${prompt.length} characters.`;
  return { ...common, completion, model, simulated: true };
}

function bodyOf({ session_id, tenant, user, model, prompt }: CompletionRequest, memory: Json): JsonObject {
  const before = memoryShape.safeParse(memory);
  const said = before.success
    ? [
        { role: 'user', content: before.data.prompt },
        { role: 'assistant', content: before.data.completion },
      ]
    : [];
  const messages = [...said, { role: 'user', content: prompt }];
  return { model, messages, user, metadata: { session_id, tenant } };
}

async function call(context: AdapterContext, request: JsonObject): Promise<Answer> {
  await context.awaitRateLimit(LLM_GATEWAY);
  const exchange = async (base: string, signal: AbortSignal): Promise<Exchange<Answer>> => {
    const answer = await context.fetch(belowService(base, PATH).href, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      service: LLM_GATEWAY,
      signal,
    });
    // One that rejects a call works.
    const outcome = answer.status >= 400 && answer.status < 500 ? 'answered' : 'failed';
    try {
      const body = await readBody(await expectOk(answer, LLM_GATEWAY), 'json', LLM_GATEWAY);
      return { outcome: 'answered', value: answerIn(body) };
    } catch (error) {
      return { outcome, error };
    }
  };
  return callService({ service: LLM_GATEWAY, method: 'POST', onOpen: 'fail' }, context, exchange);
}

function answerIn(body: Json): Answer {
  const asChat = chat.safeParse(body);
  if (asChat.success) return { completion: asChat.data.choices[0]?.message.content ?? '', model: asChat.data.model };
  const asPlain = plain.safeParse(body);
  if (asPlain.success) return { completion: asPlain.data.completion, model: asPlain.data.model };
  throw new RetryableError(`${LLM_GATEWAY} answered without a completion`, { code: 'upstream_error' });
}
