/** `heartbeat_timeout_seconds`: an adapter that says nothing for so long has failed this attempt, and may be tried again. */
import type { ExecutionResult } from '../ports/executor.ts';
import type { Reports } from './task-reports.ts';

export interface HeartbeatWatch {
  /** Whatever is said here is a sign of life. */
  reports: Reports;
  start(): void;
  stop(): void;
}

export function watchHeartbeat(
  reports: Reports,
  timeoutMs: number,
  end: (result: ExecutionResult, reason: string) => void,
): HeartbeatWatch {
  const message = `did not report for ${timeoutMs / 1000} s (heartbeat_timeout_seconds)`;
  const lost: ExecutionResult = { result: 'failure', failure: { code: 'heartbeat_timeout', message, retryable: true } };
  const startTimer = () => setTimeout(() => end(lost, message), Math.min(timeoutMs, 2 ** 31 - 1));
  let timer: NodeJS.Timeout | undefined = startTimer();
  const refresh = () => {
    timer?.refresh();
  };
  return {
    reports: {
      progress(percent, words) {
        refresh();
        reports.progress(percent, words);
      },
      heartbeat() {
        refresh();
        reports.heartbeat();
      },
      stream(chunk) {
        refresh();
        reports.stream(chunk);
      },
    },
    start() {
      clearTimeout(timer);
      timer = startTimer();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
