-- What has followed from an event, and what has not yet: one trigger or wait that cannot be done now keeps none of the others.
ALTER TABLE "incoming_event" ADD COLUMN "progress" JSONB;
