/** Parts of statements about attempts, each called `e`, with `r` for the run and `t` for the task. */
/** The run wants this attempt. A task has no row before its first outcome. */
export const LIVE = `NOT r.final AND r.epoch = e.epoch AND r.status <> 'cancelling'
  AND (t.run_id IS NULL OR t.epoch = e.epoch AND NOT t.final AND t.ended_attempt < e.attempt)`;
export const RUN_AND_TASK = `JOIN run r ON r.id = e.run_id LEFT JOIN task t ON t.run_id = e.run_id AND t.action_id = e.action_id`;

// What brings a task on is committed with its wake: a process that dies before the job is due leaves that to the reconciler.
export const wakesOf = (source: string) => `
  INSERT INTO task AS t (run_id, action_id, action_type, epoch, status, wakes)
  SELECT s.run_id, s.action_id, 'external', s.epoch, 'pending', 1
  FROM ${source} s JOIN run r ON r.id = s.run_id AND r.epoch = s.epoch AND NOT r.final
  WHERE s.status IN ('completed', 'failed')
  ORDER BY s.run_id, s.action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET wakes = t.wakes + 1 WHERE NOT t.final AND t.epoch = EXCLUDED.epoch
  RETURNING t.run_id`;
