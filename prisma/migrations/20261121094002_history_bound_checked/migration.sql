-- Reads the tables once and lets everybody write meanwhile; the last steps then need not read them under their lock.
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT conrelid::regclass FROM pg_constraint
    WHERE conname = 'before_partitions' AND NOT convalidated AND conrelid IN ('attempt'::regclass, 'event'::regclass)
  LOOP
    EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT before_partitions', name);
  END LOOP;
END $$;
