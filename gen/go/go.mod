module github.com/company/multi-ai-agent/orchestrator/gen

go 1.19

require (
	google.golang.org/grpc v1.33.3
	google.golang.org/protobuf v1.28.1
)
