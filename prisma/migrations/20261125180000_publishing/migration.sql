-- AlterTable
ALTER TABLE "external_task" ADD COLUMN "by_message" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN "published_at" TIMESTAMPTZ(3),
ADD COLUMN "taken_at" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "flow_outbox" ADD COLUMN "external_task_id" TEXT,
ADD COLUMN "epoch" INTEGER,
ADD COLUMN "attempt" INTEGER;

-- CreateTable
CREATE TABLE "flow_publisher" (
    "name" TEXT NOT NULL,
    "wanted_until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "flow_publisher_pkey" PRIMARY KEY ("name")
);

-- A task that failed for good is a dead letter, in the transaction that decides it, whichever statement that is. It is one of
-- flow runs, and of tasks that were published. What it says is read when it is published: here nobody can encrypt. Without
-- a publisher this is a look at one small table for each failure that is final.
CREATE FUNCTION flow_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM flow_publisher WHERE wanted_until > now())
     AND (EXISTS (SELECT FROM run r WHERE r.id = NEW.run_id AND r.execution_context IS NOT NULL)
          OR EXISTS (SELECT FROM external_task e WHERE e.run_id = NEW.run_id AND e.action_id = NEW.action_id
                     AND e.epoch = NEW.epoch AND e.attempt = NEW.attempt AND e.by_message)) THEN
    INSERT INTO flow_outbox (tenant_id, run_id, topic, key, value, headers, epoch, attempt)
    VALUES (NEW.tenant_id, NEW.run_id, '', NEW.action_id, '', '{}', NEW.epoch, NEW.attempt);
    PERFORM pg_notify('flow_outbox', '');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER flow_dead_letter AFTER INSERT ON task_failure
  FOR EACH ROW WHEN (NEW.final) EXECUTE FUNCTION flow_dead_letter();
