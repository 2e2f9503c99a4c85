/**
 * One child process for isolated adapters.
 * - *starting*: forked, its modules load; the task that it was started for waits, and its deadline has not started;
 * - *idle*: ready, without a task;
 * - *busy*: runs one task. Its result makes it idle; an abort that it does not heed, or a loop that stands still although
 *   it may not, has it killed;
 * - *ended*: by itself, by a crash, or killed. It is never used again.
 */
import { fork } from 'node:child_process';
import { programFile } from '../src/program-file.ts';
import type { AdapterContext, AdapterResponse } from './adapter.ts';
import {
  type FetchAnswer,
  type FromChild,
  HEARTBEAT_EVERY_MS,
  type IsolatedResult,
  type IsolatedTask,
  plainError,
  type Question,
  type ToChild,
  UNDER_TEST,
} from './isolation-protocol.ts';

export interface IsolatedProcessOptions {
  /** All that the child sees of the environment. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Of its heap. */
  memoryMb: number;
  underTest: boolean;
  /** How long an aborted task may take to end by itself. */
  abortGraceMs: number;
}

/** What of the context the child calls in the worker. */
export type ChildContext = Pick<
  AdapterContext,
  | 'fetch'
  | 'service'
  | 'operation'
  | 'acquire'
  | 'release'
  | 'awaitRateLimit'
  | 'evaluate'
  | 'log'
  | 'signal'
  | 'progress'
  | 'heartbeat'
  | 'stream'
>;

/** How a process ended. */
export interface End {
  code: number | null;
  signal: string | null;
  /** Why it was killed here; undefined when it ended by itself. */
  killed: string | undefined;
  /** The last it wrote to its standard error. */
  words: string;
}

export interface IsolatedProcess {
  /** Resolves when it can take a task, rejects when it ends before. */
  ready: Promise<void>;
  ended: Promise<End>;
  isAlive(): boolean;
  tasks(): number;
  /** Resolves to the result, or to how the process ended without one. */
  run(
    task: IsolatedTask,
    context: ChildContext,
    /** A loop that stands still for longer ends the process; undefined: it may. */
    maxBlockMs: number | undefined,
  ): Promise<IsolatedResult | { result: 'died'; end: End }>;
  kill(why: string): void;
}

const MAX_WORDS = 2_000;

export function startIsolatedProcess(options: IsolatedProcessOptions): IsolatedProcess {
  const child = fork(programFile('workers/isolated-child.js'), options.underTest ? [UNDER_TEST] : [], {
    env: options.environment,
    execArgv: [`--max-old-space-size=${options.memoryMb}`],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let alive = true;
  let killed: string | undefined;
  let words = '';
  let tasks = 0;
  let receive: (message: FromChild) => void = () => undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-MAX_WORDS);
    });
  }
  const ended = new Promise<End>((resolve) => {
    const end = (code: number | null, signal: string | null) => {
      alive = false;
      resolve({ code, signal, killed, words });
    };
    // `close` rather than `exit`: what it wrote last has arrived by then.
    child.once('close', end);
    child.once('error', (error) => {
      words += error.message;
      if (child.pid === undefined) end(null, null);
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message: FromChild) => {
      if (message.say === 'ready') resolve();
      receive(message);
    });
    void ended.then((end) => reject(new Error(`it did not start: ${wordsOf(end)}`)));
  });
  ready.catch(() => undefined); // Whoever waits for it gets the error.
  const say = (message: ToChild) => {
    // A child that has just ended cannot be spoken to; its end is handled elsewhere.
    if (child.connected) child.send(message, () => undefined);
  };
  const kill = (why: string) => {
    killed ??= why;
    child.kill('SIGKILL');
  };

  return {
    ready,
    ended,
    isAlive: () => alive && killed === undefined,
    tasks: () => tasks,
    kill,
    async run(task, context, maxBlockMs) {
      tasks += 1;
      const { signal } = context;
      const answers = answerer(context, say);
      let heartbeats = 0;
      let grace: NodeJS.Timeout | undefined;
      const result = new Promise<IsolatedResult>((resolve) => {
        receive = (message) => {
          heartbeats += 1;
          if (message.say === 'result') resolve(message.result);
          else answers.receive(message);
        };
      });
      const onAbort = () => {
        say({ say: 'abort', reason: signal.reason instanceof Error ? signal.reason.message : 'aborted' });
        grace = setTimeout(() => kill('it did not end when it was told to'), options.abortGraceMs);
      };
      const watch = maxBlockMs === undefined ? undefined : watchLoop(() => heartbeats, maxBlockMs, kill);
      signal.addEventListener('abort', onAbort, { once: true });
      say({ say: 'run', task });
      if (signal.aborted) onAbort();
      try {
        return await Promise.race([result, ended.then((end) => ({ result: 'died', end }) as const)]);
      } finally {
        clearTimeout(grace);
        clearInterval(watch);
        signal.removeEventListener('abort', onAbort);
        receive = () => undefined;
        answers.close();
      }
    },
  };
}

/** Counts its own checks, not time: when this process stands still, the child's heartbeats wait to be read. */
function watchLoop(heartbeats: () => number, maxBlockMs: number, kill: (why: string) => void): NodeJS.Timeout {
  let last = heartbeats();
  let still = 0;
  return setInterval(() => {
    still = heartbeats() === last ? still + 1 : 0;
    last = heartbeats();
    if (still * HEARTBEAT_EVERY_MS > maxBlockMs) kill(`its event loop stood still for ${maxBlockMs / 1000} s`);
  }, HEARTBEAT_EVERY_MS);
}

export function wordsOf({ code, signal, killed }: End): string {
  if (killed !== undefined) return `killed: ${killed}`;
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

/** Answers the child's calls with the context of the worker, which obeys the outbound policy. */
function answerer(
  context: Omit<ChildContext, 'signal'>,
  say: (message: ToChild) => void,
): { receive(message: FromChild): void; close(): void } {
  const requests = new Map<number, AbortController>();
  const bodies = new Map<number, { answer: AdapterResponse; chunks: AsyncIterator<Uint8Array> | undefined }>();

  async function answer(question: number, what: Question): Promise<unknown> {
    switch (what.ask) {
      case 'service':
        return context.service(what.name);
      case 'operation':
        return context.operation(what.service, what.id, what.inputs);
      case 'turn':
        return context.awaitRateLimit(what.service);
      case 'acquire':
        return context.acquire(what.service, what.how);
      case 'release':
        return context.release(what.permit, what.outcome);
      case 'evaluate':
        return context.evaluate(what.expression, what.variables);
      case 'fetch': {
        const request = new AbortController();
        requests.set(question, request);
        try {
          const answered = await context.fetch(what.url, { ...what.init, signal: request.signal });
          bodies.set(question, { answer: answered, chunks: answered.body?.[Symbol.asyncIterator]() });
          const { status, headers, body } = answered;
          return { status, headers, body: question, hasBody: body !== undefined } satisfies FetchAnswer;
        } finally {
          requests.delete(question);
        }
      }
      case 'text':
        return bodies.get(what.body)?.answer.text();
      case 'part': {
        const next = await bodies.get(what.body)?.chunks?.next();
        return next?.done === false ? next.value : undefined;
      }
    }
  }

  return {
    receive(message) {
      if (message.say === 'drop') requests.get(message.question)?.abort();
      if (message.say === 'report') pass(context, message);
      if (message.say === 'log') context.log[message.level](message.message, message.data as object); // It sends objects only.
      if (message.say !== 'ask') return;
      const { question, what } = message;
      answer(question, what).then(
        (value) => say({ say: 'answer', question, value }),
        (error: unknown) => say({ say: 'fault', question, error: plainError(error) }),
      );
    },
    close() {
      for (const request of requests.values()) request.abort();
    },
  };
}

function pass(context: Omit<ChildContext, 'signal'>, report: FromChild & { say: 'report' }): void {
  switch (report.report) {
    case 'progress':
      context.progress(report.percent, report.message);
      break;
    case 'heartbeat':
      context.heartbeat();
      break;
    case 'stream':
      context.stream(report.chunk);
      break;
  }
}
