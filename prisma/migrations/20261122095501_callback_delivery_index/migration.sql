DROP INDEX CONCURRENTLY IF EXISTS "callback_delivery_due";
CREATE INDEX CONCURRENTLY "callback_delivery_due" ON "webhook_delivery"("tenant_id", "host", "due_at") WHERE (status = 'pending' AND webhook_id IS NULL);
