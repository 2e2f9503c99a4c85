DROP INDEX CONCURRENTLY IF EXISTS "late_effect_due";
CREATE INDEX CONCURRENTLY "late_effect_due" ON "late_effect"("id") WHERE (compensation = 'due');
