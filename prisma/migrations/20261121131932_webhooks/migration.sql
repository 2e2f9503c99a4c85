-- CreateTable
CREATE TABLE "webhook" (
    "id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "events" TEXT[],
    "description" TEXT,
    "secret" TEXT NOT NULL,
    "previous_secret" TEXT,
    "previous_secret_until" TIMESTAMPTZ(3),
    "active" BOOLEAN NOT NULL DEFAULT true,
    "disabled_reason" TEXT,
    "failing_since" TIMESTAMPTZ(3),
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_delivery" (
    "id" TEXT NOT NULL,
    "webhook_id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "run_id" TEXT,
    "action_id" TEXT,
    "epoch" INTEGER,
    "attempt" INTEGER,
    "data" JSONB,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_status" INTEGER,
    "last_error" TEXT,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "webhook_delivery_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "webhook_tenant_id_created_at_id_idx" ON "webhook"("tenant_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "webhook_delivery_due" ON "webhook_delivery"("webhook_id", "due_at") WHERE (status = 'pending');

-- CreateIndex
CREATE INDEX "webhook_delivery_webhook_id_at_id_idx" ON "webhook_delivery"("webhook_id", "at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "webhook_delivery_ended" ON "webhook_delivery"("ended_at") WHERE (status <> 'pending');

-- An event and what is owed for it are one transaction, so nothing is owed twice or forgotten, whatever becomes of the
-- worker. Without an active webhook this is one look at a small table for each statement that writes events.
CREATE FUNCTION webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM webhook WHERE active) THEN
    INSERT INTO webhook_delivery (id, webhook_id, tenant_id, kind, run_id, action_id, epoch, attempt, data, at)
    SELECT gen_random_uuid()::text, w.id, w.tenant_id, f.kind, f.run_id, f.action_id, f.epoch, f.attempt, f.data, f.at
    FROM fresh f JOIN run r ON r.id = f.run_id JOIN webhook w ON w.tenant_id = r.tenant_id AND w.active
    WHERE f.kind = ANY (w.events) OR '*' = ANY (w.events) OR split_part(f.kind, '.', 1) || '.*' = ANY (w.events);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER webhook_deliveries AFTER INSERT ON event REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION webhook_deliveries();
