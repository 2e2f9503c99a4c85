/** `heartbeat_timeout_seconds`: an adapter that says nothing for so long has failed this attempt, and may be tried again. */
import type { ExecutionResult } from '../ports/executor.ts';
import type { Reports } from './task-reports.ts';

export interface Heart {
  /** Whatever is said here is a sign of life. */
  reports: Reports;
  start(): void;
  stop(): void;
}

export function watchHeart(
  reports: Reports,
  timeoutMs: number,
  end: (result: ExecutionResult, reason: string) => void,
): Heart {
  const message = `did not report for ${timeoutMs / 1000} s (heartbeat_timeout_seconds)`;
  const lost: ExecutionResult = { result: 'failure', failure: { code: 'heartbeat_timeout', message, retryable: true } };
  const begin = () => setTimeout(() => end(lost, message), Math.min(timeoutMs, 2 ** 31 - 1));
  let timer: NodeJS.Timeout | undefined = begin();
  const beat = () => {
    timer?.refresh();
  };
  return {
    reports: {
      progress(percent, words) {
        beat();
        reports.progress(percent, words);
      },
      heartbeat() {
        beat();
        reports.heartbeat();
      },
      stream(chunk) {
        beat();
        reports.stream(chunk);
      },
    },
    start() {
      clearTimeout(timer);
      timer = begin();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
