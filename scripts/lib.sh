# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Words that the scripts share, and what must hold wherever the clone is. The caller has set $top.
# shellcheck disable=SC2154

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# usable: whether anything can be built here; says in one line why not.
usable() {
	# Linux' build refuses blanks and colons, late; shells, make, virtme-ng and QEMU take the others apart.
	case $top in
	*[[:space:]:\;,=\'\"\`\$\\\&\|\<\>\(\)\{\}\*\?\!\#%[]* | *]*)
		die "Linux cannot be built in a path with a blank or one of : ; , = # % ! ? * & | \$ \\ quotes or brackets: move this clone from $top"
		;;
	esac
	case $top/ in
	/dev/* | /proc/* | /sys/*) die "a guest has a file system of its own there: move this clone from $top" ;;
	esac
	mkdir -p "$top/build" 2>/dev/null || die "you cannot write to $top, which everything is built in"
	# Root can write all but a read-only file system. Links may lead to where the clone was before it was moved.
	local foreign
	foreign=$(find -H "$top/build" -maxdepth 1 ! -type l ! -writable -print -quit)
	[ -z "$foreign" ] || die "you cannot write to $foreign (of $(stat -c %U "$foreign")): remove it or build as its owner"
}

# hold exclusive|shared NAME: keeps others off a part of build/ to the end of this script and of all that it calls; they
# wait. Nobody waits for a lock that its own caller has. With a third argument: fails rather than waits.
hold() {
	local file=$top/build/.lock-$2 fd status=0
	[[ " ${QUIETCORE_HELD:-} " != *" $2 "* ]] || return 0
	exec {fd}>>"$file"
	flock -n -E 75 "--$1" "$fd" || status=$?
	if [ "$status" = 75 ]; then
		[ -z "${3:-}" ] || return 1
		say "waiting for $(tail -n 1 "$file"), which uses build/ ($2)"
		flock "--$1" "$fd"
	fi
	# A note for those who wait; with a shared lock the last one is as good as any.
	echo "${0##*/} (process $$)" >"$file"
	export QUIETCORE_HELD="${QUIETCORE_HELD:-} $2"
}

# Files of another umask than the usual could not be read in guests by others than root.
umask 022
usable
