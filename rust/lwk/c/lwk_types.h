/* SPDX-License-Identifier: GPL-2.0 */
/* What a task and a run queue carry for the lightweight kernel (LWK). */
#ifndef _LINUX_LWK_TYPES_H
#define _LINUX_LWK_TYPES_H

#include <linux/cpumask_types.h>
#include <linux/hrtimer_types.h>
#include <linux/mutex_types.h>
#include <linux/types.h>

struct lwk_thread;
struct task_struct;

/**
 * struct lwk_job - what C needs to know of a job
 * @cpus: the CPUs that its tasks may use, constant as long as the job lives
 * @service: the CPUs of Linux to which its calls go, or none if any may be chosen; constant, too
 * @threads: the &struct lwk_thread of its tasks
 * @threads_lock: guards @threads
 *
 * Always embedded at the start of the Rust type ``job::Job``.
 */
struct lwk_job {
	cpumask_t cpus;
	cpumask_t service;
	struct list_head threads;
	struct mutex threads_lock;
};

/**
 * struct sched_lwk_entity - the LWK's part of a task
 * @node: link in the run queue; meaningful while the task is queued there
 * @job: the job that the task belongs to, or NULL; holds a reference
 * @thread: its calls; used by itself only
 * @slice_end: rq clock at which waiting tasks of the same rank may take over
 * @leaving_to: the CPU that it is to be moved to as soon as it does not run, and one more, or 0
 * @home: the CPU of the job from which it was moved last
 * @how: LWK_MOVE_*: what becomes of its place at @home
 * @away: it is on a CPU of Linux for a system call
 * @counts: it is one of those that are away from @home
 * @left: the task no longer counts as a user of the job's reservation
 * @rank: its rank in the queue as it was put there; logic/rank.rs
 *
 * Two fields of the other classes are ours while the task is in our class, as these use them for much the same:
 * se.exec_start is, on rq_clock_task(), since when it waits as long as it is queued and does not run, and
 * rt.watchdog_stamp is its se.sum_exec_runtime when it last woke up: RLIMIT_RTTIME is about what came after.
 */
struct sched_lwk_entity {
	struct list_head node;
	struct lwk_job *job;
	struct lwk_thread *thread;
	u64 slice_end;
	unsigned int leaving_to;
	unsigned int home;
	unsigned int how;
	bool away;
	bool counts;
	bool left;
	u8 rank;
};

/**
 * struct lwk_rq - the LWK's part of a run queue, under the run queue's lock
 * @queue: runnable tasks of the class, the running one included, in order
 * @nr_running: how many those are
 * @nr_rt: those of them with a real-time priority
 * @guest_since: rq clock since when a task of Linux waits here, or 0
 * @guest_turn: such tasks run first until @guest_timer fires
 * @starved: somebody waited for too long, which the log is to tell
 * @guest_start: rq clock when one took the CPU from a willing task, or 0
 * @guest_timer: ends the guests' turn
 * @lifted_end: rq clock at which a task that had been lifted above those with real-time priority last came down
 * @rt_timer: looks at RLIMIT_RTTIME of the running task
 * @leaving: the task that goes from this CPU to another as soon as the next one runs, or NULL
 * @nr_away: tasks that are away from here
 * @nr_polls: those of them for which the idle CPU does not halt
 * @dozes: it has waited for them for long, and is idle as any CPU until one more goes away
 * @switches_seen: the context switches here when a CPU of Linux last looked
 * @kept_for: the task for which the CPU is kept free, or NULL
 */
struct lwk_rq {
	struct list_head queue;
	unsigned int nr_running;
	unsigned int nr_rt;
	bool guest_turn;
	bool starved;
	u64 guest_since;
	u64 guest_start;
	u64 lifted_end;
	struct hrtimer guest_timer;
	struct hrtimer rt_timer;
	struct task_struct *leaving;
	struct task_struct *kept_for;
	unsigned int nr_away;
	unsigned int nr_polls;
	bool dozes;
	u64 switches_seen;
};

#endif /* _LINUX_LWK_TYPES_H */
