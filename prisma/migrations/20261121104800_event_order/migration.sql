-- The place of an event among those of its run, given when somebody first reads it (src/store/run-events.ts). Nobody else
-- writes or reads it, so workers of the version before go on as they are.
ALTER TABLE "event" ADD COLUMN     "seq" INTEGER;
