-- A run that is undoing what it did is under way too.
CREATE INDEX "run_under_way_check_at" ON "run"("check_at") WHERE (NOT final AND status = ANY (ARRAY['queued'::text, 'running'::text, 'cancelling'::text, 'compensating'::text]));
DROP INDEX "run_live_check_at";
