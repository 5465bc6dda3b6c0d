# SPDX-License-Identifier: Apache-2.0
# Verbs for people; the build itself is CMakeLists.txt. `make` alone shows them.
.DEFAULT_GOAL := help
.PHONY: help demo check build release asan tsan fuzz bench lint fmt update-golden install deps clean
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 30
JOBS ?= 2
# Ninja where there is one; a build folder keeps the generator that it was made with.
GENERATOR := $(if $(shell command -v ninja 2>/dev/null),-G Ninja,)
SCRIPTS = .ci/run tools/*.sh tests/*.sh tests/cli/run.sh fuzz/*.sh

configure = cmake --preset $(1) $(2) $(if $(wildcard build/$(1)/CMakeCache.txt),,$(GENERATOR)) >build/$(1).log \
	|| { cat build/$(1).log; exit 1; }
compile = mkdir -p build && { $(call configure,$(1)); } && cmake --build build/$(1) -j$(JOBS)
test = ctest --test-dir build/$(1) -j$(JOBS) --output-on-failure --no-tests=error

help: ## show these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps ## make sample models, look into them, and save a picture of the viewer
	@$(call compile,release)
	@tools/demo.sh build/release/scruple build/demo

check: deps ## build for development and run every test
	@$(call compile,dev)
	@$(call test,dev)

build: deps ## build for development, no tests
	@$(call compile,dev)

release: deps ## build optimised
	@$(call compile,release)

asan: deps ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(call compile,asan)
	@$(call test,asan)

tsan: deps ## all tests under ThreadSanitizer
	@$(call compile,tsan)
	@$(call test,tsan)

fuzz: deps ## run every libFuzzer target for FUZZ_SECONDS (needs clang)
	@$(call compile,fuzz)
	@tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

bench: deps ## print the measured speeds
	@mkdir -p build && { $(call configure,release); } && cmake --build build/release -j$(JOBS) --target bench
	@tools/bench.sh build/release

lint: deps ## formatting, clang-tidy, cppcheck, layers, shellcheck
	@mkdir -p build && { $(call configure,dev); }
	clang-format --dry-run -Werror $$(find src tests include fuzz bench -name '*.[ch]')
	clang-tidy --quiet -p build/dev $$(find src -name '*.c')
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 -D_POSIX_C_SOURCE=200809L -Iinclude -Isrc src
	sh tools/lint-layers.sh
	shellcheck $(SCRIPTS)

fmt: ## format the C files
	clang-format -i $$(find src tests include fuzz bench -name '*.[ch]')

update-golden: deps ## rewrite the expected output of the golden cases; review the diff
	@$(call compile,dev)
	@cmake --build build/dev --target fixtures
	@SCRUPLE=build/dev/scruple FIXTURES=build/dev/fixtures TESTDATA=tests/data \
		tests/cli/run.sh --update tests/cli/*/

install: deps ## install below DESTDIR and PREFIX (/usr/local)
	@mkdir -p build && { $(call configure,release,-DCMAKE_INSTALL_PREFIX="$(PREFIX)"); }
	@cmake --build build/release -j$(JOBS)
	@DESTDIR="$(DESTDIR)" cmake --install build/release >build/install.log || { cat build/install.log; exit 1; }
	@echo "installed below $(DESTDIR)$(PREFIX)"

deps: ## check for the tools and libraries that the build needs, install what is missing
	@tools/deps.sh

clean: ## remove everything that was built
	rm -rf build
