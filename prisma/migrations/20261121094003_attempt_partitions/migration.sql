-- One table in one transaction: the group commit locks several, so holding two could wait in a circle.
ALTER TABLE attempt RENAME TO attempt_before;
ALTER INDEX attempt_pkey RENAME TO attempt_before_pkey;
CREATE TABLE attempt (
    run_id TEXT NOT NULL,
    action_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    error JSONB,
    worker TEXT,
    started_at TIMESTAMPTZ(3) NOT NULL,
    finished_at TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT attempt_pkey PRIMARY KEY (run_id, action_id, epoch, attempt)
) PARTITION BY RANGE (run_id);
-- An insert can never fail for want of a partition.
CREATE TABLE attempt_default PARTITION OF attempt DEFAULT;
DO $$
DECLARE
  bound text := (SELECT substring(pg_get_constraintdef(oid) FROM '''(.*)''') FROM pg_constraint
                 WHERE conrelid = 'attempt_before'::regclass AND conname = 'before_partitions');
  week bigint := 604800000;
  ms bigint := floor(extract(epoch FROM now()) * 1000 / 604800000)::bigint * 604800000;
  starts text;
  ends text;
BEGIN
  IF bound IS NOT NULL THEN
    EXECUTE format('ALTER TABLE attempt ATTACH PARTITION attempt_before FOR VALUES FROM (MINVALUE) TO (%L)', bound);
    ALTER TABLE attempt_before DROP CONSTRAINT before_partitions;
  ELSE
    -- Nobody has written since the bound was looked for, or the rows are few: they go where they belong.
    FOR i IN 0..2 LOOP
      starts := lpad(to_hex((ms + i * week) >> 16), 8, '0') || '-' || lpad(to_hex((ms + i * week) & 65535), 4, '0');
      ends := lpad(to_hex((ms + (i + 1) * week) >> 16), 8, '0') || '-' || lpad(to_hex((ms + (i + 1) * week) & 65535), 4, '0');
      EXECUTE format('CREATE TABLE %I PARTITION OF attempt FOR VALUES FROM (%L) TO (%L)',
                     'attempt_' || to_char(to_timestamp((ms + i * week) / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD'), starts, ends);
    END LOOP;
    INSERT INTO attempt SELECT * FROM attempt_before;
    DROP TABLE attempt_before;
  END IF;
END $$;
