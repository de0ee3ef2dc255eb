# Everything one does with qovery. `make` alone lists it. CI calls only what is here.

CARGO ?= cargo
tools := $(CURDIR)/target/tools
assets := target/assets

# Containers need root: as another user, cargo starts that one test program through sudo.
systemd-env = QOVERY_TEST_SYSTEMD=1 QOVERY_DEB=$(CURDIR)/$(assets)/test.deb
ifneq ($(shell id -u),0)
host = $(shell rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
systemd-env += CARGO_TARGET_$(host)_RUNNER="sudo --preserve-env"
endif

.DEFAULT_GOAL := help
.PHONY: help build run check fmt test test-unit test-systemd bench deb install-tools clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

build: needs-build ## the binary, for development: target/debug/qovery
	$(CARGO) build

run: needs-build ## see it work: lines travel through two daemons; or pipe your own in: tail -f LOG | make run
	@$(CARGO) build --quiet
	@distribution/examples/run-demo.sh target/debug/qovery

check: needs-build ## format, lints and docs, all warnings being errors
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

fmt: ## format the source
	$(CARGO) fmt

test: needs-build needs-systemd $(assets)/test.deb ## all tests, those in booted systemd containers included (root or sudo)
	@echo "running all tests"
ifeq ($(shell id -u),0)
	$(systemd-env) $(CARGO) test --locked --no-fail-fast
else
	$(CARGO) test --locked --no-fail-fast
	$(systemd-env) $(CARGO) test --locked --test systemd
endif

test-unit: needs-build ## the tests that need neither root nor a container
	$(CARGO) test --locked --no-fail-fast

test-systemd: needs-build needs-systemd $(assets)/test.deb ## only the tests in booted systemd containers
	$(systemd-env) $(CARGO) test --locked --test systemd

bench: needs-build ## measure throughput and memory; prints a table
	$(CARGO) bench --locked

deb: needs-build $(tools)/bin/cargo-deb ## the Debian package: target/debian/qovery_*.deb
	$(CARGO) build --release --locked
	@$(MAKE) --no-print-directory binary=target/release/qovery generated
	PATH="$(tools)/bin:$$PATH" $(CARGO) deb --no-build --locked

install-tools: needs-build needs-systemd $(tools)/bin/cargo-deb ## all that the other targets install when they need it

clean: ## remove what was built
	$(CARGO) clean

# ---- what the above stand on

.PHONY: needs-build needs-systemd generated $(assets)/test.deb

needs-build:
	@packaging/needs.sh build

needs-systemd:
	@packaging/needs.sh deb systemd

$(tools)/bin/cargo-deb:
	@packaging/needs.sh build deb
	@echo "installing cargo-deb below target/tools (once, takes minutes)"
	@$(CARGO) install cargo-deb --version 3.8.0 --locked --quiet --root $(tools)

# The tests install a real package, around the development binary: no second build of everything. cargo-deb warns that
# it is not meant for that, which is right for what is handed out.
$(assets)/test.deb: $(tools)/bin/cargo-deb
	@echo "building qovery and a package of it for the tests"
	@$(CARGO) build --locked
	@$(MAKE) --no-print-directory binary=target/debug/qovery generated
	@PATH="$(tools)/bin:$$PATH" $(CARGO) deb --no-build --locked --profile dev --fast --compress-type gz --quiet --output $(assets)/test.deb

# Manual and completions, as the binary itself prints them.
generated:
	@mkdir -p $(assets)
	@$(binary) generate man >$(assets)/qovery.1
	@$(binary) generate completion bash >$(assets)/qovery.bash
	@$(binary) generate completion zsh >$(assets)/_qovery
	@$(binary) generate completion fish >$(assets)/qovery.fish
