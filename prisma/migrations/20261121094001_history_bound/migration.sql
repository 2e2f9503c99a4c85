-- First of four steps that make `attempt` and `event` partitioned without copying a row and without a lock that lasts.
-- What is there becomes one partition, of all runs before a bound that lies two to three weeks ahead. Run ids are
-- ordered by time (UUID version 7), so their first characters are a time.
DO $$
DECLARE
  name text;
  newest text;
  ms bigint := (floor(extract(epoch FROM now()) * 1000 / 604800000)::bigint + 3) * 604800000;
  bound text;
BEGIN
  FOREACH name IN ARRAY ARRAY['attempt', 'event'] LOOP
    EXECUTE format('SELECT max(run_id) FROM %I', name) INTO newest;
    CONTINUE WHEN newest IS NULL;
    bound := lpad(to_hex(ms >> 16), 8, '0') || '-' || lpad(to_hex(ms & 65535), 4, '0');
    -- Ids of another kind may be greater than all of ours.
    bound := greatest(bound, newest || '~');
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT before_partitions CHECK (run_id < %L) NOT VALID', name, bound);
  END LOOP;
END $$;
