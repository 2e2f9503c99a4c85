-- Callbacks are delivered as webhooks are: a row for each, with the address and host of its own. The hosts that do not
-- answer are remembered for each tenant.
ALTER TABLE "webhook_delivery" ALTER COLUMN "webhook_id" DROP NOT NULL;
ALTER TABLE "webhook_delivery" ADD COLUMN "url" TEXT;
ALTER TABLE "webhook_delivery" ADD COLUMN "host" TEXT;

-- CreateTable
CREATE TABLE "delivery_circuit" (
    "tenant_id" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "failures" INTEGER NOT NULL,
    "open_until" TIMESTAMPTZ(3),
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "delivery_circuit_pkey" PRIMARY KEY ("tenant_id","host")
);

-- Host and port, without what names a user.
CREATE FUNCTION delivery_host(url text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT lower(coalesce(substring(url from '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]+)'), url))
$$;

-- The end of a run and the callback that it owes are one transaction. A version before this one marks the run as well,
-- and would make the call a second time: its mark is taken away.
CREATE FUNCTION owe_callback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (id, tenant_id, kind, run_id, epoch, url, host)
  VALUES (NEW.id || '.' || NEW.epoch, NEW.tenant_id, 'callback', NEW.id, NEW.epoch, NEW.callback_url, delivery_host(NEW.callback_url))
  ON CONFLICT (id) DO NOTHING;
  NEW.callback_due_at := NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER owe_callback BEFORE UPDATE OF final ON run
  FOR EACH ROW WHEN (NEW.final AND NOT OLD.final AND NEW.callback_url IS NOT NULL) EXECUTE FUNCTION owe_callback();

-- What is owed already.
INSERT INTO webhook_delivery (id, tenant_id, kind, run_id, epoch, url, host, due_at)
SELECT id || '.' || epoch, tenant_id, 'callback', id, epoch, callback_url, delivery_host(callback_url), callback_due_at
FROM run WHERE callback_due_at IS NOT NULL AND final ON CONFLICT (id) DO NOTHING;
UPDATE run SET callback_due_at = NULL WHERE callback_due_at IS NOT NULL;
