# Thin: every target is a script or a CMake call that can be run by hand.
.DEFAULT_GOAL := help
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
RELEASE := cmake --preset release --log-level=WARNING && cmake --build --preset release -j $(JOBS)

.PHONY: help setup build demo test check check-asan check-tsan check-neon check-fuzz check-lint check-shapes bench audit \
        format lint fuzz install clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## install the Debian packages that are missing
	@scripts/setup.sh

build: setup  ## release build of everything
	@$(RELEASE)

demo: setup  ## build the program and show what it does (no downloads)
	@$(RELEASE) --target eyeshot_program eyeshot_data
	@scripts/demo.sh

test:  ## build and run all tests under every instruction set of this machine
	@scripts/test.sh

check:  ## sanitizers, NEON under emulation, fuzzing, lint, parity of large models
	@scripts/check.sh

check-asan check-tsan check-neon check-fuzz check-lint check-shapes:
	@scripts/check.sh $(@:check-%=%)

bench: build  ## run every benchmark
	@for bench in build/release/bench/*_bench; do \
	  [ ! -x "$$bench" ] || { echo "== $$bench"; "$$bench" || exit 1; }; done

audit: build  ## measure the claims of docs/claims.md again (ARGS="--write C3" to renew one)
	@python3 scripts/audit.py $(ARGS)

format:  ## clang-format all C++ sources
	@scripts/setup.sh check
	@scripts/format.sh

lint: ## clang-tidy on the files that changed since the last clean run
	@scripts/setup.sh check
	@cmake --preset release --log-level=WARNING
	@python3 scripts/lint.py

fuzz:  ## every fuzz target for SECONDS (default 3600) each
	@scripts/setup.sh check
	@cmake --preset fuzz --log-level=WARNING && cmake --build --preset fuzz -j $(JOBS)
	@scripts/fuzz.sh $(or $(SECONDS),3600)

install: build  ## install under PREFIX (default /usr/local; DESTDIR is honoured)
	@cmake --install build/release --prefix $(PREFIX)

clean:  ## remove all build output
	@rm -rf build models/eyeshot-tiny/model.safetensors
