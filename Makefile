# The commands of the house; `make` alone lists them. What a command needs and the machine has not, tools/prepare
# installs and says so.

FUZZ_SECS ?= 30
FUZZ_TARGETS = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.tools/lambda/bin:$$PATH" .tools/sam/bin/sam

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo deploy-local test test-deploy check fmt fmt-check lint docs template deny fuzz build tools

help: ## Lists the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## Tells the story of flights that are read, written and ranked through memcached nodes that die, come and go, also under load.
	tools/prepare compiler memcached lambda
	python3 demo/run.py

deploy-local: ## Deploys what reads and follows nodes to an emulator of AWS on this machine (Linux), until ctrl-C; needs no account.
	tools/prepare compiler memcached lambda sam emulator
	.tools/emulator/bin/python demo/deploy.py

test: ## Passes all tests but that of a deployment, doc tests included.
	tools/prepare compiler memcached databases python emulator
	cargo test --workspace

test-deploy: ## Deploys everything to an emulator of AWS (Linux), then sees `read` follow a node that comes.
	tools/prepare compiler memcached lambda sam emulator
	.tools/emulator/bin/python demo/test_deploy.py

check: fmt-check lint test test-deploy docs template deny ## Passes everything that a commit must pass.

fmt: ## Formats the code.
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

fmt-check: ## Fails where the code is not formatted.
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

lint: ## Runs clippy on all targets, warnings denied.
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz -- --deny warnings

docs: ## Builds the documentation, private items included, warnings denied.
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

template: ## Lints the SAM template; needs no account.
	tools/prepare sam
	$(SAM) validate --lint --template template.yaml

# The advisory database is a repository on GitHub. Where that is out of reach, this says so and does not fail: a
# commit must be possible on a train.
deny: ## Checks licences, bans, sources and advisories of all dependencies.
	tools/prepare deny
	.tools/bin/cargo-deny check --hide-inclusion-graph bans licenses sources
	@if .tools/bin/cargo-deny --log-level off fetch db; then \
		.tools/bin/cargo-deny check --hide-inclusion-graph advisories; \
	else \
		echo "advisories NOT CHECKED: the advisory database could not be fetched"; \
	fi

fuzz: ## Fuzzes every decoder, each for FUZZ_SECS seconds (30 unless told).
	tools/prepare fuzz
	@set -e; for target in $(FUZZ_TARGETS); do \
		echo "fuzzing $$target for $(FUZZ_SECS) s"; \
		mkdir -p fuzz/corpus/$$target; \
		PATH="$(CURDIR)/.tools/bin:$$PATH" cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target \
			-- -max_total_time=$(FUZZ_SECS) -verbosity=0 -print_final_stats=1; \
	done

build: ## Builds the functions as `sam deploy` takes them, for arm64.
	tools/prepare compiler lambda sam
	rustup target add aarch64-unknown-linux-gnu
	$(SAM) build

tools: ## Installs everything that the other commands need.
	tools/prepare compiler memcached databases python lambda sam emulator deny fuzz
