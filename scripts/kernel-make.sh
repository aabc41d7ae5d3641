# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# How our kernels are made; the caller has set $top.
# shellcheck disable=SC2154

# kernel_make OBJECTS ARGS...
kernel_make() {
	local objects=$1 cc=clang${LLVM:--19}
	shift
	if command -v ccache >/dev/null; then
		cc="ccache $cc"
	fi
	# The time stamp would make each build differ from the last.
	make -C "${tree:-$top/build/linux}" O="$objects" LLVM="${LLVM:--19}" CC="$cc" RUSTC="${RUSTC:-rustc}" \
		HOSTRUSTC="${RUSTC:-rustc}" RUSTDOC=true BINDGEN="$top/build/tools/bin/bindgen" \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=quietcore KBUILD_BUILD_HOST=quietcore "$@"
}

# Linux excludes its scheduler from KCSAN, as it has many races that are known and harmless. Our class is part of it, and
# its hooks are in these files; the names of the variables say nothing of the folder.
# shellcheck disable=SC2034
RACE_OPTIONS=()
for object in build_policy core; do
	# shellcheck disable=SC2016
	RACE_OPTIONS+=("KCSAN_SANITIZE_$object.o="'$(if $(filter kernel/sched,$(obj)),y)')
done
