/** The answer of a model to a prompt: of the service `llm_gateway`, or a simulation that says so. */
import { z } from 'zod';
import { type AdapterContext, expectOk, RetryableError, readBody } from '../../../workers/adapter.ts';
import { belowService, callService, type Exchange } from '../../../workers/call-service.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { promptSummary } from './domain.ts';

export const LLM_GATEWAY = 'llm_gateway';
const PATH = '/v1/completions';

export interface CompletionRequest {
  session_id: string;
  tenant: string;
  user: string;
  model: string;
  prompt: string;
  metadata: JsonObject;
  /** What was remembered of the round before. */
  memory?: Json;
}

/** Also as other gateways of models answer. */
const answerShape = z.union([
  z.looseObject({ completion: z.string(), model: z.string().optional() }),
  z
    .looseObject({ choices: z.array(z.looseObject({ text: z.string() })).min(1), model: z.string().optional() })
    .transform(({ choices, ...answer }) => ({ ...answer, completion: choices[0]?.text ?? '' })),
]);

export async function complete(context: AdapterContext, request: CompletionRequest): Promise<JsonObject> {
  const { prompt, model } = request;
  const found = (await context.service(LLM_GATEWAY)) === undefined ? undefined : await call(context, request);
  const generatedAt = context.now().toISOString();
  const common = { prompt_summary: promptSummary(prompt), generated_at: generatedAt };
  if (found !== undefined) return { ...common, completion: found.completion, model: found.model ?? model };
  const completion = `Model ${model} acknowledged a prompt of ${prompt.length} characters.`;
  return { ...common, completion, model, simulated: true };
}

async function call(context: AdapterContext, request: CompletionRequest): Promise<z.output<typeof answerShape>> {
  await context.awaitRateLimit(LLM_GATEWAY);
  const exchange = async (base: string, signal: AbortSignal): Promise<Exchange<z.output<typeof answerShape>>> => {
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
      return {
        outcome: 'answered',
        value: completionIn(await readBody(await expectOk(answer, LLM_GATEWAY), 'json', LLM_GATEWAY)),
      };
    } catch (error) {
      return { outcome, error };
    }
  };
  return callService({ service: LLM_GATEWAY, method: 'POST', onOpen: 'fail' }, context, exchange);
}

function completionIn(body: Json): z.output<typeof answerShape> {
  const parsed = answerShape.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new RetryableError(`${LLM_GATEWAY} answered without a completion`, { code: 'upstream_error' });
}
