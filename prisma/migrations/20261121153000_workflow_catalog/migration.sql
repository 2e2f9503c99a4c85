-- Templates that users keep, and what the search of workflows looks at.
CREATE TABLE "workflow_template" (
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "definition" JSONB NOT NULL,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "workflow_template_pkey" PRIMARY KEY ("tenant_id","name")
);

CREATE TABLE "workflow_search" (
    "workflow_id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "words" TEXT NOT NULL,
    "document" tsvector NOT NULL,

    CONSTRAINT "workflow_search_pkey" PRIMARY KEY ("workflow_id")
);
CREATE INDEX "workflow_search_tenant_id_idx" ON "workflow_search"("tenant_id");
CREATE INDEX "workflow_search_document_idx" ON "workflow_search" USING GIN ("document");

-- fetch_pr_data, fetch-pr-data and fetchPrData are found by each of their words, the last also as a whole. Only ASCII is
-- told apart here, because what else is a letter depends on the locale of the database.
CREATE FUNCTION workflow_search_words(written text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT translate(written || ' ' || regexp_replace(written, '([a-z0-9])([A-Z])', '\1 \2', 'g'),
                   '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))
$$;

-- Each part is cut, because a tsvector has at most a megabyte and no definition may be refused for its search.
CREATE FUNCTION index_workflow(id text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO workflow_search AS s (workflow_id, tenant_id, words, document)
  SELECT p.id, p.tenant_id, left(concat_ws(' ', p.name, p.tags, p.actions, p.description), 20000),
         setweight(to_tsvector('simple', workflow_search_words(p.name)), 'A')
         || setweight(to_tsvector('simple', workflow_search_words(p.tags)), 'B')
         || setweight(to_tsvector('simple', workflow_search_words(p.actions)), 'C')
         || setweight(to_tsvector('simple', workflow_search_words(p.description)), 'D')
  FROM (
    SELECT w.id, w.tenant_id, w.name, left(array_to_string(w.tags, ' '), 10000) AS tags,
           left(coalesce(w.description, ''), 20000) AS description,
           left(coalesce((SELECT string_agg(concat_ws(' ', a ->> 'action_id', a ->> 'name', a ->> 'action_type'), ' ')
                          FROM jsonb_array_elements(v.definition -> 'actions') AS a), ''), 60000) AS actions
    FROM workflow w JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
    WHERE w.id = index_workflow.id AND w.deleted_at IS NULL
  ) p
  ON CONFLICT (workflow_id) DO UPDATE SET words = EXCLUDED.words, document = EXCLUDED.document
$$;

-- A trigger, so that versions of the service which know nothing of the search keep it right too.
CREATE FUNCTION workflow_version_indexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM index_workflow(NEW.workflow_id);
  RETURN NULL;
END $$;
CREATE FUNCTION workflow_indexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.deleted_at IS NULL THEN
    PERFORM index_workflow(NEW.id);
  ELSE
    DELETE FROM workflow_search WHERE workflow_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER workflow_version_indexed AFTER INSERT ON workflow_version
  FOR EACH ROW EXECUTE FUNCTION workflow_version_indexed();
CREATE TRIGGER workflow_indexed AFTER UPDATE OF current_version, deleted_at ON workflow
  FOR EACH ROW WHEN (OLD.current_version IS DISTINCT FROM NEW.current_version OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
  EXECUTE FUNCTION workflow_indexed();

-- Typing errors are forgiven where the server has pg_trgm and lets us use it; where not, the search goes by words alone.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX workflow_search_similar ON workflow_search USING gin (lower(words) gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
  -- A lock that was not to be had is tried again, as in every migration.
  IF SQLSTATE IN ('55P03', '57014') THEN RAISE; END IF;
  RAISE NOTICE 'no typing errors are forgiven in searches: %', SQLERRM;
END $$;
