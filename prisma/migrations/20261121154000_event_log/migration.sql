-- CreateTable
CREATE TABLE "platform_event" (
    "id" BIGINT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "correlation_id" TEXT,
    "trace_id" TEXT,
    "run_id" TEXT,
    "data" JSONB NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "platform_event_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event_clearance" (
    "tenant_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "correlation_id" TEXT NOT NULL,
    "up_to" BIGINT NOT NULL,
    "by" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "event_clearance_pkey" PRIMARY KEY ("tenant_id","kind","correlation_id")
);

-- CreateTable
CREATE TABLE "event_stream" (
    "name" TEXT NOT NULL,
    "wanted_until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "event_stream_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "event_out" (
    "id" BIGSERIAL NOT NULL,
    "event_id" BIGINT NOT NULL,
    "run_id" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sent_at" TIMESTAMPTZ(3),
    "sent_ms" BIGINT,
    "sent_n" BIGINT,

    CONSTRAINT "event_out_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "platform_event_tenant_id_id_idx" ON "platform_event"("tenant_id", "id" DESC);

-- CreateIndex
CREATE INDEX "platform_event_expires_at_idx" ON "platform_event"("expires_at");

-- CreateIndex
CREATE INDEX "event_out_waiting" ON "event_out"("id") WHERE (sent_at IS NULL);

-- CreateIndex
CREATE INDEX "event_out_sent" ON "event_out"("sent_ms", "sent_n") WHERE (sent_at IS NOT NULL);

-- CreateIndex
CREATE INDEX "event_out_sent_at" ON "event_out"("sent_at") WHERE (sent_at IS NOT NULL);

-- What is owed for an event is one transaction with it: to webhooks, and to the stream while some worker has one. Without
-- either this is a look at two small tables for each statement that writes events.
CREATE OR REPLACE FUNCTION webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM webhook WHERE active) THEN
    INSERT INTO webhook_delivery (id, webhook_id, tenant_id, kind, run_id, action_id, epoch, attempt, data, at)
    SELECT gen_random_uuid()::text, w.id, w.tenant_id, f.kind, f.run_id, f.action_id, f.epoch, f.attempt, f.data, f.at
    FROM fresh f JOIN run r ON r.id = f.run_id JOIN webhook w ON w.tenant_id = r.tenant_id AND w.active
    WHERE f.kind = ANY (w.events) OR '*' = ANY (w.events) OR split_part(f.kind, '.', 1) || '.*' = ANY (w.events);
  END IF;
  IF EXISTS (SELECT FROM event_stream WHERE wanted_until > now()) THEN
    INSERT INTO event_out (event_id, run_id) SELECT f.id, f.run_id FROM fresh f ORDER BY f.id;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION platform_event_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM event_stream WHERE wanted_until > now()) THEN
    INSERT INTO event_out (event_id) SELECT f.id FROM fresh f ORDER BY f.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER platform_event_out AFTER INSERT ON platform_event REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION platform_event_out();
