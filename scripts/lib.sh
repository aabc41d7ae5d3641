# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Words that the scripts share.

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
