# SPDX-License-Identifier: GPL-2.0
# Quietcore: `make run` and `make test` do everything from a fresh Debian 12 or 13; `make help` lists the rest.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.DEFAULT_GOAL := help

top := $(CURDIR)
build := $(top)/build

# An unpacked 6.12.y tree or a tarball, where Debian's package is not at hand.
LINUX_SRC ?=
# The toolchain; Debian's by default, as rustup's lacks the library source unless asked for it.
LLVM ?= -19
RUSTC ?= $(firstword $(wildcard /usr/bin/rustc) rustc)
RUSTDOC ?= $(firstword $(wildcard /usr/bin/rustdoc) rustdoc)
CARGO ?= $(firstword $(wildcard /usr/bin/cargo) cargo)
JOBS ?= $(shell nproc)

CPUS ?= 4
MEM ?= 3G
APPEND ?=

export LINUX_SRC LLVM RUSTC RUSTDOC CARGO JOBS CPUS MEM APPEND CMD

tool_target := x86_64-unknown-linux-gnu
cargo := RUSTFLAGS= $(CARGO)
# Static, so that the programs run in any root file system, the tests' initramfs among them; at fixed addresses, which
# spares the start of yod the relocations.
export STATIC_RUSTFLAGS := -C target-feature=+crt-static -C relocation-model=static
cargo_static := RUSTFLAGS='$(STATIC_RUSTFLAGS)' $(CARGO) build -q --release --locked \
	--target $(tool_target) --target-dir $(build)/static
static_bin := $(build)/static/$(tool_target)/release

.PHONY: help setup kernel kernel-debug kernel-race kernel-off kernel-plain tools vm run test test-host test-debug test-race fuzz test-programs test-debuggers bench bench-quick bench-check bench-plain bench-host check clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 24
	@printf '\nVariables: LINUX_SRC=DIR JOBS=%s; for vm: CMD= CPUS=%s MEM=%s APPEND=\n' '$(JOBS)' '$(CPUS)' '$(MEM)'

setup: ## Install the packages and tools that the build needs (others call it)
	@scripts/setup

kernel: setup ## Build the kernel: build/bzImage, build/vmlinux, build/.config
	@scripts/kernel release

kernel-debug: setup ## Build the debug kernel (KASAN, lockdep, ...): build/debug/
	@scripts/kernel debug

kernel-race: setup ## Build the kernel that looks for data races (KCSAN): build/race/
	@scripts/kernel race

kernel-off: setup ## Build what the patches touch with CONFIG_LWK=n, which must build too (QUICK=1: without linking): build/kernel-off/
	@scripts/kernel off

kernel-plain: setup ## Build Linux without our patches, to compare with: build/plain/
	@scripts/kernel plain

tools: setup ## Build static build/bin/lwkctl and build/bin/yod
	@echo '==> tools'
	@$(cargo_static) -p lwkctl -p yod
	@mkdir -p $(build)/bin
	@install $(static_bin)/lwkctl $(static_bin)/yod $(build)/bin/

vm: kernel ## Run CMD='...' in a guest on this root file system
	@scripts/vm

run: kernel tools ## The main job: real programs on Linux, tuned Linux and LWK CPUs, with a report
	@scripts/run

test-host: setup ## Unit and property tests on this machine
	@echo '==> host tests'
	@scripts/host-tests

test: kernel tools ## All tests: on this machine and in guests
	@scripts/test release

test-debug: kernel-debug tools ## The guest tests on the debug kernel
	@scripts/test debug

test-race: kernel-race tools ## The guest tests about moves, calls, partitions and noise on the kernel that looks for data races
	@scripts/test race

fuzz: $(if $(filter release,$(KERNEL)),kernel,kernel-debug) tools ## Fuzz the tools' parsers and the debug kernel for SECONDS=600; SEED= OPS= BOOT= have a run again
	@scripts/fuzz '$(or $(SECONDS),600)' '$(SEED)'

test-programs: kernel tools ## Real programs as jobs with LWK memory: Python, Racket, Java, hpcc, C++
	@scripts/test-programs

test-debuggers: kernel tools ## gdb and strace over jobs whose system calls move
	@scripts/test-debuggers

bench: kernel tools ## The measuring lab: all benchmarks, counted, with a report in build/bench/ and docs/performance.md
	@scripts/bench all

bench-quick: kernel tools ## The quick subset of the lab twice, compared with bench/baseline.json
	@scripts/bench quick

bench-check: kernel tools ## All of the lab, compared with bench/baseline.json
	@scripts/bench check

bench-plain: kernel tools kernel-plain ## What calls of Linux cost with and without our patches: docs/bystanders.md
	@scripts/bench plain

bench-host: setup ## Host benchmarks of the policy code
	@scripts/bench host

check: setup ## Formatting, lints, layers, generated files, scripts, patches, figures of this kernel
	@scripts/check

clean: ## Remove all that was built
	rm -rf build
