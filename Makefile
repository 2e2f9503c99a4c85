# The npm scripts under the names that the older services used; `npm run` lists all of them.
.PHONY: dev test lint type-check migrate run build clean dev-up test-e2e

dev test lint type-check migrate run build clean dev-up test-e2e:
	npm run $@
