# The README's two commands are demo and test; both do their own set-up on a
# fresh Debian machine, as root. `make help` lists the rest.
SHELL := /bin/bash
GOLANGCI_LINT_VERSION := v2.15.0

.PHONY: help demo broker test unit integration compat images lint fmt bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the streaming example, on AMQP_URL, on RABBITMQ_IMAGE in Docker, or else on a broker in its own process
	@scripts/demo.sh

broker: ## an in-memory broker on 127.0.0.1:5672 with the management API on 15672, until Ctrl-C
	@cd cmd/hareline && go build -o ../../.bin/hareline . && exec ../../.bin/hareline broker

test: unit integration ## everything: unit tests, then integration tests on RabbitMQ 3.10, 4.0 and 4.3

unit: ## the tests that need only Go
	@scripts/test.sh unit

integration: ## the tests that need brokers, with their set-up
	@scripts/test.sh integration

compat: ## other people's clients on the embedded broker: amqp091-go's own tests, and what of Debian's clients is installed
	@scripts/compat.sh

images: ## RabbitMQ 3.10, 4.0 and 4.3 as images, built from Debian's packages
	@scripts/docker-engine.sh
	@scripts/images.sh

lint: ## gofmt, go vet, golangci-lint over every module
	@GOLANGCI_LINT_VERSION=$(GOLANGCI_LINT_VERSION) scripts/lint.sh

fmt: ## gofmt
	gofmt -w $$(git ls-files '*.go')

bench: ## our publisher and consumer against the bare client, and amqptest against RabbitMQ and a stub, interleaved
	@scripts/docker-engine.sh
	@scripts/images.sh
	cd integration && go test -run '^$$' -bench . -benchtime 1x -timeout 30m .
