# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# How our kernels are made; the caller has set $top.
# shellcheck disable=SC2154

# choose_cc OBJECTS: the compiler, through ccache if there is one that does what the kernel asks of it: old ones may not
# know its options, and some cannot write to their cache.
choose_cc() {
	local probe=$1/.ccache
	kernel_cc=clang${LLVM:--19}
	command -v ccache >/dev/null || return 0
	rm -rf "$probe"
	mkdir -p "$probe"
	echo 'int probe;' >"$probe/a.c"
	if (cd "$probe" && ccache "$kernel_cc" -Wp,-MMD,a.d -c -o a.o a.c && [ -s a.o ] && [ -s a.d ]) >"$probe/log" 2>&1; then
		kernel_cc="ccache $kernel_cc"
	else
		echo "==> without ccache, which fails here: $(head -n 1 "$probe/log")" >&2
	fi
}

# kernel_make OBJECTS ARGS...
kernel_make() {
	local objects=$1
	shift
	[ -n "${kernel_cc:-}" ] || choose_cc "$objects"
	# The time stamp would make each build differ from the last.
	make -C "${tree:-$top/build/linux}" O="$objects" LLVM="${LLVM:--19}" CC="$kernel_cc" RUSTC="${RUSTC:-rustc}" \
		HOSTRUSTC="${RUSTC:-rustc}" RUSTDOC=true BINDGEN="$top/build/tools/bin/bindgen" \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=quietcore KBUILD_BUILD_HOST=quietcore "$@"
}
