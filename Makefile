# The npm scripts under the names that the older services used; `npm run` lists all of them.
TARGETS = dev test lint type-check migrate run build clean dev-up test-e2e generate-clients buf-lint buf-breaking clean-generated
.PHONY: help $(TARGETS)

help:
	@echo "make $(TARGETS)"

$(TARGETS):
	npm run $@
