/* SPDX-License-Identifier: GPL-2.0 */
/* What a task and a run queue carry for the lightweight kernel (LWK). */
#ifndef _LINUX_LWK_TYPES_H
#define _LINUX_LWK_TYPES_H

#include <linux/cpumask_types.h>
#include <linux/hrtimer_types.h>
#include <linux/types.h>

/**
 * struct lwk_job - what C needs to know of a job
 * @cpus: the CPUs that its tasks may use, constant as long as the job lives
 *
 * Always embedded at the start of the Rust type ``job::Job``.
 */
struct lwk_job {
	cpumask_t cpus;
};

/**
 * struct sched_lwk_entity - the LWK's part of a task
 * @node: link in the run queue; meaningful while the task is queued there
 * @job: the job that the task belongs to, or NULL; holds a reference
 * @slice_end: rq clock at which waiting tasks of the class may take over
 * @left: the task no longer counts as a user of the job's reservation
 */
struct sched_lwk_entity {
	struct list_head node;
	struct lwk_job *job;
	u64 slice_end;
	bool left;
};

/**
 * struct lwk_rq - the LWK's part of a run queue, under the run queue's lock
 * @queue: runnable tasks of the class, the running one included, in order
 * @nr_running: how many those are
 * @guest_since: rq clock since when a task of Linux waits here, or 0
 * @guest_turn: such tasks run first until @guest_timer fires
 * @guest_start: rq clock when one took the CPU from a willing task, or 0
 * @guest_timer: ends the guests' turn
 */
struct lwk_rq {
	struct list_head queue;
	unsigned int nr_running;
	bool guest_turn;
	u64 guest_since;
	u64 guest_start;
	struct hrtimer guest_timer;
};

#endif /* _LINUX_LWK_TYPES_H */
