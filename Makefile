# The npm scripts under the names that the older services used; `make help` lists all of them.
.PHONY: help dev test lint type-check migrate run build clean dev-up test-e2e generate-clients buf-lint buf-breaking clean-generated

help dev test lint type-check migrate run build clean dev-up test-e2e generate-clients buf-lint buf-breaking clean-generated:
	npm run $@
