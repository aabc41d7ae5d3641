/* SPDX-License-Identifier: GPL-2.0 */
/* Included at the end of kernel/sched/sched.h: the LWK hooks that look into a run queue. */
#ifndef _KERNEL_SCHED_LWK_H
#define _KERNEL_SCHED_LWK_H

#ifdef CONFIG_LWK

void init_lwk_rq(struct rq *rq);

static inline bool task_on_lwk(const struct task_struct *p)
{
	return p->sched_class == &lwk_sched_class;
}

/* The class of @p, for which its policy and priority alone would say @usual: a job's tasks never leave the lwk class. */
static inline const struct sched_class *lwk_sched_class_of(const struct task_struct *p,
							   const struct sched_class *usual)
{
	return lwk_task(p) ? &lwk_sched_class : usual;
}

/*
 * The priority of @p, for which its policy and those who wait for it say @prio. A deadline task lends one of a job the
 * highest real-time priority and not its own, which is for tasks that are in its class.
 */
static inline int lwk_prio(const struct task_struct *p, int prio)
{
	return unlikely(dl_prio(prio)) && lwk_task(p) ? MAX_DL_PRIO : prio;
}

/* The bandwidth of a deadline task is of CPUs of Linux, whatever the limits are. */
static inline int lwk_check_policy(const struct task_struct *p, int policy)
{
	if (!dl_policy(policy) || !lwk_task(p))
		return 0;
	lwk_tell_refused("SCHED_DEADLINE for a thread of a job: CPUs of partitions have no bandwidth for it; take SCHED_FIFO, or start the program without yod");
	return -EPERM;
}

/* The bandwidth of the fair server of an LWK CPU, or of one that comes or goes, would be of no domain. */
static inline bool lwk_keeps_fair_server(struct rq *rq)
{
	if (cpu_active(cpu_of(rq)))
		return false;
	lwk_tell_refused("a fair server for a CPU of a partition, which has none: there the LWK sees to kernel threads; name CPUs of Linux only");
	return true;
}

/* Does @rq run LWK tasks, so that the LWK says whether the tick may stop? */
static inline bool lwk_rq_busy(const struct rq *rq)
{
	return static_branch_unlikely(&lwk_active) && rq->lwk.nr_running;
}

/* One task alone needs no tick; a second one, or a guest that does not sleep, does. */
static inline bool lwk_can_stop_tick(const struct rq *rq)
{
	return rq->nr_running - rq->cfs.h_nr_delayed == 1;
}

/* The CPU computes for a job, of which the governor of its frequency sees nothing else. */
static inline bool lwk_wants_all(const struct rq *rq)
{
	return lwk_rq_busy(rq);
}

void __lwk_guest_waits(struct rq *rq);
void __lwk_look(struct rq *rq);

/* A CPU of Linux looks after one that has no tick. */
static inline void lwk_look(struct rq *rq)
{
	if (lwk_owns_cpu(cpu_of(rq)))
		__lwk_look(rq);
}

/* A task of a lower class than the running one has become runnable. */
static inline void lwk_guest_waits(struct rq *rq)
{
	if (lwk_rq_busy(rq) && task_on_lwk(rq->curr))
		__lwk_guest_waits(rq);
}

#else /* !CONFIG_LWK */

static inline void init_lwk_rq(struct rq *rq) { }
static inline bool task_on_lwk(const struct task_struct *p) { return false; }
static inline const struct sched_class *lwk_sched_class_of(const struct task_struct *p,
							   const struct sched_class *usual) { return usual; }
static inline int lwk_prio(const struct task_struct *p, int prio) { return prio; }
static inline int lwk_check_policy(const struct task_struct *p, int policy) { return 0; }
static inline bool lwk_keeps_fair_server(struct rq *rq) { return false; }
static inline bool lwk_rq_busy(const struct rq *rq) { return false; }
static inline bool lwk_wants_all(const struct rq *rq) { return false; }
static inline void lwk_look(struct rq *rq) { }
static inline bool lwk_can_stop_tick(const struct rq *rq) { return true; }
static inline void lwk_guest_waits(struct rq *rq) { }

#endif /* CONFIG_LWK */
#endif /* _KERNEL_SCHED_LWK_H */
