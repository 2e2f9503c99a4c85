-- Its id comes from the same sequence as before. Uniqueness of it is not checked any more: the sequence gives it, and a key
-- would have to have the run as well.
ALTER TABLE event RENAME TO event_before;
ALTER INDEX event_run_id_id_idx RENAME TO event_before_run_id_id_idx;
ALTER INDEX event_task_retried RENAME TO event_before_task_retried;
CREATE TABLE event (
    id BIGINT NOT NULL DEFAULT nextval('event_id_seq'),
    run_id TEXT NOT NULL,
    action_id TEXT,
    epoch INTEGER NOT NULL,
    attempt INTEGER,
    kind TEXT NOT NULL,
    data JSONB,
    at TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
) PARTITION BY RANGE (run_id);
ALTER SEQUENCE event_id_seq OWNED BY event.id;
CREATE INDEX event_run_id_id_idx ON event (run_id, id);
CREATE INDEX event_task_retried ON event (run_id) WHERE (kind = 'task.retried');
-- An insert can never fail for want of a partition.
CREATE TABLE event_default PARTITION OF event DEFAULT;
DO $$
DECLARE
  bound text := (SELECT substring(pg_get_constraintdef(oid) FROM '''(.*)''') FROM pg_constraint
                 WHERE conrelid = 'event_before'::regclass AND conname = 'before_partitions');
  week bigint := 604800000;
  ms bigint := floor(extract(epoch FROM now()) * 1000 / 604800000)::bigint * 604800000;
  starts text;
  ends text;
BEGIN
  IF bound IS NOT NULL THEN
    EXECUTE format('ALTER TABLE event ATTACH PARTITION event_before FOR VALUES FROM (MINVALUE) TO (%L)', bound);
    ALTER TABLE event_before DROP CONSTRAINT before_partitions;
  ELSE
    -- Nobody has written since the bound was looked for, or the rows are few: they go where they belong.
    FOR i IN 0..2 LOOP
      starts := lpad(to_hex((ms + i * week) >> 16), 8, '0') || '-' || lpad(to_hex((ms + i * week) & 65535), 4, '0');
      ends := lpad(to_hex((ms + (i + 1) * week) >> 16), 8, '0') || '-' || lpad(to_hex((ms + (i + 1) * week) & 65535), 4, '0');
      EXECUTE format('CREATE TABLE %I PARTITION OF event FOR VALUES FROM (%L) TO (%L)',
                     'event_' || to_char(to_timestamp((ms + i * week) / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD'), starts, ends);
    END LOOP;
    INSERT INTO event SELECT * FROM event_before;
    DROP TABLE event_before;
  END IF;
END $$;
