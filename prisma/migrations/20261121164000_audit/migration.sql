-- CreateTable
CREATE TABLE "audit_entry" (
    "tenant_id" TEXT NOT NULL,
    "seq" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "means" TEXT NOT NULL,
    "credential" TEXT,
    "action" TEXT NOT NULL,
    "permission" TEXT,
    "resource_type" TEXT,
    "resource_id" TEXT,
    "address" TEXT,
    "user_agent" TEXT,
    "decision" TEXT NOT NULL,
    "reason" TEXT,
    "status" INTEGER,
    "request_id" TEXT,
    "trace_id" TEXT,
    "details" JSONB NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_entry_pkey" PRIMARY KEY ("tenant_id","seq")
);

-- CreateTable
CREATE TABLE "audit_head" (
    "tenant_id" TEXT NOT NULL,
    "seq" BIGINT NOT NULL DEFAULT 0,
    "hash" BYTEA NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pruned_seq" BIGINT NOT NULL DEFAULT 0,
    "pruned_hash" BYTEA NOT NULL,

    CONSTRAINT "audit_head_pkey" PRIMARY KEY ("tenant_id")
);

-- CreateIndex
CREATE INDEX "audit_entry_tenant_id_at_idx" ON "audit_entry"("tenant_id", "at");

-- CreateIndex
CREATE INDEX "audit_entry_tenant_id_resource_id_seq_idx" ON "audit_entry"("tenant_id", "resource_id", "seq");

-- What is written stays: only the beginning of a chain may go, when it is thirty days old and its head says so first.
CREATE FUNCTION audit_entry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.at < now() - interval '30 days'
      AND EXISTS (SELECT FROM audit_head h WHERE h.tenant_id = OLD.tenant_id AND OLD.seq <= h.pruned_seq) THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_entry_stays();
CREATE TRIGGER audit_entry_is_not_emptied BEFORE TRUNCATE ON audit_entry
  FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_stays();

-- A head only goes forward, and forgets no more than may go.
CREATE FUNCTION audit_head_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.tenant_id = OLD.tenant_id AND NEW.seq >= OLD.seq AND NEW.at >= OLD.at
      AND (NEW.seq > OLD.seq OR NEW.hash = OLD.hash)
      AND ((NEW.pruned_seq = OLD.pruned_seq AND NEW.pruned_hash = OLD.pruned_hash) OR (NEW.pruned_seq > OLD.pruned_seq
        AND EXISTS (SELECT FROM audit_entry e WHERE e.tenant_id = NEW.tenant_id AND e.seq = NEW.pruned_seq
          AND e.hash = NEW.pruned_hash AND e.at < now() - interval '30 days'))) THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit_head only goes forward' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_head_stays BEFORE UPDATE OR DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_head_stays();
CREATE TRIGGER audit_head_is_not_emptied BEFORE TRUNCATE ON audit_head
  FOR EACH STATEMENT EXECUTE FUNCTION audit_head_stays();
