-- CreateTable
CREATE TABLE "incoming_event" (
    "key" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "subject" TEXT,
    "event" JSONB NOT NULL,
    "user_id" TEXT NOT NULL,
    "correlation_id" TEXT,
    "trace_id" TEXT NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "due_at" TIMESTAMPTZ(3),
    "tries" INTEGER NOT NULL DEFAULT 0,
    "outcome" JSONB,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "incoming_event_pkey" PRIMARY KEY ("tenant_id","key")
);

-- CreateTable
CREATE TABLE "workflow_trigger" (
    "workflow_id" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "event" TEXT NOT NULL,

    CONSTRAINT "workflow_trigger_pkey" PRIMARY KEY ("workflow_id","position")
);

-- CreateTable
CREATE TABLE "event_wait" (
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "event" TEXT NOT NULL,
    "correlation_key" TEXT NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "event_wait_pkey" PRIMARY KEY ("run_id","action_id")
);

-- CreateIndex
CREATE INDEX "event_wait_tenant_id_correlation_key_idx" ON "event_wait"("tenant_id", "correlation_key");

-- CreateIndex
CREATE INDEX "incoming_event_due" ON "incoming_event"("due_at") WHERE (due_at IS NOT NULL);

-- CreateIndex
CREATE INDEX "incoming_event_expires_at_idx" ON "incoming_event"("expires_at");

-- CreateIndex
CREATE INDEX "incoming_event_by_subject" ON "incoming_event"("tenant_id", "subject", "type", "received_at") WHERE (subject IS NOT NULL);

-- CreateIndex
CREATE INDEX "workflow_trigger_tenant_id_event_idx" ON "workflow_trigger"("tenant_id", "event");

-- Which workflows an event may start, by its type: always those of the current version, whoever makes it the current one.
CREATE FUNCTION index_triggers_of(changed text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM workflow_trigger WHERE workflow_id = changed;
  INSERT INTO workflow_trigger (workflow_id, position, tenant_id, event)
  SELECT w.id, t.position - 1, w.tenant_id, t.value ->> 'event'
  FROM workflow w JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
  CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(v.definition -> 'triggers') WHEN 'array' THEN v.definition -> 'triggers' ELSE '[]' END
  ) WITH ORDINALITY AS t(value, position)
  WHERE w.id = changed AND w.deleted_at IS NULL AND t.value ->> 'event' IS NOT NULL;
END $$;

CREATE FUNCTION workflow_head_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM index_triggers_of(NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER workflow_head_changed AFTER UPDATE OF current_version, deleted_at ON workflow FOR EACH ROW
  WHEN (OLD.current_version IS DISTINCT FROM NEW.current_version OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
  EXECUTE FUNCTION workflow_head_changed();

-- A workflow is written before its version, because the version names it.
CREATE FUNCTION workflow_version_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM workflow WHERE id = NEW.workflow_id AND current_version = NEW.version) THEN
    PERFORM index_triggers_of(NEW.workflow_id);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER workflow_version_made AFTER INSERT ON workflow_version FOR EACH ROW EXECUTE FUNCTION workflow_version_made();
