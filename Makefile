# Fairlead's one place for commands: `make help`. Each target installs the Debian packages that it needs and misses.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
# Arguments for `make run`, `make costs` and `make bench`, as in: make run ARGS="--for 20s"
ARGS ?=

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BUILD_PACKAGES := libssl-dev libsystemd-dev pkg-config
# kubectl may be there from elsewhere, and two packages cannot own it.
TEST_PACKAGES := $(BUILD_PACKAGES) openssl curl $(if $(shell command -v kubectl),,kubernetes-client)
INSTALL_PACKAGES := binutils python3
DEB_PACKAGES := dpkg-dev xz-utils
SYSTEMD_PACKAGES := systemd systemd-container debootstrap python3 util-linux lintian man-db iproute2
COSTS_PACKAGES := $(BUILD_PACKAGES) binutils python3 strace valgrind
UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket))
SWIFT_SOURCES := Sources Tests Benchmarks Package.swift
# A wrong import between modules is an error, not a habit (see Package.swift).
SWIFT_FLAGS := --explicit-target-dependency-import-check error
RELEASE_FLAGS := -c release --static-swift-stdlib --disable-local-rpath -Xlinker -z -Xlinker now
TEST_SUITES := $(notdir $(wildcard Tests/*Tests))
# How much the test of bulk transfers moves each way. Less under the address sanitizer, which keeps what was freed: the test
# would take that for a leak.
BULK_BYTES ?= 1073741824
ASAN_BULK_BYTES := 16777216
# promtool alone: the Debian package would also start a server.
TOOLS := $(CURDIR)/.build/tools
PROMTOOL := $(if $(shell command -v promtool),,$(TOOLS)/usr/bin/promtool)

# $(call need,packages): installs those that are missing.
define need
@missing=$$(for package in $(1); do \
	dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || echo $$package; done); \
if [ -n "$$missing" ]; then \
	echo "installing" $$missing; \
	{ $(SUDO) apt-get -q update && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=600 install --no-install-recommends $$missing; } </dev/null >&2; \
fi
endef

# $(call run-tests,flags,environment): builds all tests, then runs one module after the other. In one process the modules
# that compute would take the cores from those that wait for deadlines.
define run-tests
swift build $(SWIFT_FLAGS) $(1) --build-tests
@failed=; for suite in $(TEST_SUITES); do \
	echo "== $$suite"; \
	$(2) PATH="$$PATH:$(TOOLS)/usr/bin" swift test --skip-build --disable-xctest $(1) --filter "^$$suite\." || failed="$$failed $$suite"; \
done; \
if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi
endef

.PHONY: help run build release test test-tsan test-asan test-systemd e2e network costs bench bench-quick lint format install uninstall deb clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Shows the demo: three small API servers behind Fairlead, taken down in turn (ARGS="--for 20s")
	.build/debug/fairlead demo $(ARGS)

build: ## Builds .build/debug/fairlead
	$(call need,$(BUILD_PACKAGES))
	swift build $(SWIFT_FLAGS) --product fairlead

release: ## Builds .build/release/fairlead with the Swift library linked in
	$(call need,$(BUILD_PACKAGES))
	swift build $(SWIFT_FLAGS) $(RELEASE_FLAGS) --product fairlead

test: $(PROMTOOL) ## Runs the unit and integration tests
	$(call need,$(TEST_PACKAGES))
	$(call run-tests,,FAIRLEAD_TEST_BYTES=$(BULK_BYTES))

$(TOOLS)/usr/bin/promtool:
	mkdir -p $(TOOLS)
	cd $(TOOLS) && { apt-get -q download prometheus || { $(SUDO) apt-get -q update && apt-get -q download prometheus; }; }
	cd $(TOOLS) && dpkg -x prometheus_*.deb . && rm prometheus_*.deb

test-tsan: ## Runs them under the thread sanitizer
	$(call need,$(TEST_PACKAGES))
	$(call run-tests,--sanitize thread --scratch-path .build-tsan)

test-asan: ## Runs them under the address sanitizer
	$(call need,$(TEST_PACKAGES))
	$(call run-tests,--sanitize address --scratch-path .build-asan,ASAN_OPTIONS=detect_leaks=0 FAIRLEAD_TEST_BYTES=$(ASAN_BULK_BYTES))

test-systemd: deb ## Boots a real systemd in a container, installs the package, breaks the service; tests keepalived's drop-in (root)
	$(call need,$(SYSTEMD_PACKAGES))
	Tests/Systemd/run $(ARGS)
	Tests/Keepalived/run

e2e: release ## Runs real Kubernetes behind it and breaks things (root; builds Kubernetes once, about six minutes)
	Tests/EndToEnd/run

network: release ## Measures dead, quiet and strange peers beside HAProxy and nginx, in namespaces (root)
	Tests/Network/run

costs: release ## Counts instructions, allocations and system calls, and fails where one has grown
	$(call need,$(COSTS_PACKAGES))
	swift build $(SWIFT_FLAGS) $(RELEASE_FLAGS) --product microbenchmarks
	Benchmarks/costs $(ARGS)

bench: release ## Measures it beside HAProxy and nginx, in some 20 minutes, and writes docs/benchmarks (root)
	Benchmarks/run $(ARGS)

bench-quick: release ## The same in under two minutes, written to .build/bench
	Benchmarks/run --quick $(ARGS)

lint: ## Checks the style of the sources
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)

format: ## Puts the sources into that style
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

# The unit and the user are for systemd: `systemd-sysusers && systemctl daemon-reload` after the first install.
install: release ## Installs under $(DESTDIR)$(PREFIX), with the service, examples, manual pages and completions
	$(call need,$(INSTALL_PACKAGES))
	install -D -m 0755 .build/release/fairlead $(DESTDIR)$(PREFIX)/bin/fairlead
	strip $(DESTDIR)$(PREFIX)/bin/fairlead
	install -d $(DESTDIR)$(PREFIX)/share/fairlead/examples $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0644 config/fairlead.yaml config/kubernetes-access.yaml systemd/examples/*.conf \
		$(DESTDIR)$(PREFIX)/share/fairlead
	install -m 0644 config/examples/*.yaml $(DESTDIR)$(PREFIX)/share/fairlead/examples
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/fairlead/keepalived \
		$(addprefix config/keepalived/,keepalived.conf keepalived.sysusers restart.conf)
	sed -i 's,/usr/bin/fairlead,$(PREFIX)/bin/fairlead,' $(DESTDIR)$(PREFIX)/share/fairlead/keepalived/keepalived.conf
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/share/fairlead/keepalived config/keepalived/fairlead-notify
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/fairlead/bgp config/bgp/bird.conf
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/share/fairlead/bgp config/bgp/fairlead-anycast
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/fairlead docs/*.md LICENSE
	install -D -m 0644 systemd/fairlead.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/fairlead.conf
	for unit in $(UNITS); do \
		sed 's,/usr/\(bin\|share\)/fairlead,$(PREFIX)/\1/fairlead,' systemd/$$unit \
			> $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
		chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; \
	done
	packaging/manual .build/release/fairlead $(DESTDIR)$(PREFIX)/share/man
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	.build/release/fairlead --generate-completion-script bash | sed '1{/^#!/d}' \
		> $(DESTDIR)$(PREFIX)/share/bash-completion/completions/fairlead
	.build/release/fairlead --generate-completion-script zsh \
		> $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fairlead
	.build/release/fairlead --generate-completion-script fish \
		> $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fairlead.fish

uninstall: ## Removes what install has put there
	rm -f $(DESTDIR)$(PREFIX)/bin/fairlead $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS)) \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/fairlead.conf \
		$(DESTDIR)$(PREFIX)/share/man/man1/fairlead.1 $(DESTDIR)$(PREFIX)/share/man/man1/fairlead-*.1 \
		$(DESTDIR)$(PREFIX)/share/man/man5/fairlead.yaml.5 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/fairlead \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fairlead \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fairlead.fish
	rm -rf $(DESTDIR)$(PREFIX)/share/fairlead $(DESTDIR)$(PREFIX)/share/doc/fairlead

deb: release ## Makes the Debian package .build/fairlead_VERSION_ARCHITECTURE.deb
	$(call need,$(DEB_PACKAGES))
	rm -rf .build/deb
	$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/.build/deb PREFIX=/usr >/dev/null
	packaging/debian/build .build/deb .build

clean: ## Removes everything that was built
	rm -rf .build .build-*
