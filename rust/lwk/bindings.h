/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads for rust/lwk/sys/. mmu_context.h must come before the scheduler's header. */
#include <linux/mmu_context.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/pid.h>
#include <linux/lwk.h>
#include "sched.h"
#include "c/rust.h"
