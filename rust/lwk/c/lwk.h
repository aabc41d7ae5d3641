/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hooks of the lightweight kernel (LWK): free when configured off, and
 * behind a static key until a first partition exists when configured on.
 */
#ifndef _LINUX_LWK_H
#define _LINUX_LWK_H

#include <linux/cpumask.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#ifdef CONFIG_LWK

/* On from the first partition's creation; tested before anything is loaded. */
DECLARE_STATIC_KEY_FALSE(lwk_active);
/* True on a CPU that belongs to a partition. */
DECLARE_PER_CPU_READ_MOSTLY(bool, lwk_owned);
/* The boot line had lwkcpus=. */
extern bool lwk_armed;

static inline bool lwk_owns_cpu(int cpu)
{
	return static_branch_unlikely(&lwk_active) && per_cpu(lwk_owned, cpu);
}

/* Is @p a task of a job? Its CPUs are then those of the job and no others. */
static inline bool lwk_task(const struct task_struct *p)
{
	return static_branch_unlikely(&lwk_active) && p->lwk.job;
}

static inline const struct cpumask *lwk_task_cpus(const struct task_struct *p)
{
	return &p->lwk.job->cpus;
}

static inline bool lwk_task_allowed(const struct task_struct *p, int cpu)
{
	return cpumask_test_cpu(cpu, lwk_task_cpus(p)) && cpu_online(cpu);
}

/* The CPUs that may be valid for @p, whose usual set is @usual. */
static inline const struct cpumask *lwk_valid_cpus(const struct task_struct *p,
						   const struct cpumask *usual)
{
	return lwk_task(p) ? lwk_task_cpus(p) : usual;
}

void lwk_rs_fork(struct task_struct *p);
void lwk_rs_exit(struct task_struct *p);
void lwk_rs_free_task(struct task_struct *p);

/* A new task exists from here on: it joins its parent's job. */
static inline void lwk_fork(struct task_struct *p)
{
	if (lwk_task(p))
		lwk_rs_fork(p);
}

/* The task gives up its share in the job's reservation. */
static inline void lwk_exit(struct task_struct *p)
{
	if (lwk_task(p))
		lwk_rs_exit(p);
}

/* Nobody refers to the task any more. */
static inline void lwk_free_task(struct task_struct *p)
{
	if (lwk_task(p))
		lwk_rs_free_task(p);
}

static inline void lwk_cancel_fork(struct task_struct *p)
{
	lwk_exit(p);
	lwk_free_task(p);
}

/* May @cpu go off line? The LWK disowns a CPU before it takes it down itself. */
static inline int lwk_cpu_deactivate(unsigned int cpu)
{
	return lwk_owns_cpu(cpu) ? -EBUSY : 0;
}

void __lwk_user_enter(void);

/* This CPU, one with context tracking, returns to user mode. */
static __always_inline void lwk_user_enter(void)
{
	if (static_branch_unlikely(&lwk_active) && __this_cpu_read(lwk_owned))
		__lwk_user_enter();
}

void lwk_housekeeping_init(cpumask_var_t *masks, unsigned long *types);

#else /* !CONFIG_LWK */

#define lwk_armed false
static inline bool lwk_owns_cpu(int cpu) { return false; }
static inline bool lwk_task(const struct task_struct *p) { return false; }
static inline bool lwk_task_allowed(const struct task_struct *p, int cpu) { return false; }
static inline const struct cpumask *lwk_task_cpus(const struct task_struct *p) { return NULL; }
static inline const struct cpumask *lwk_valid_cpus(const struct task_struct *p,
						   const struct cpumask *usual) { return usual; }
static inline void lwk_fork(struct task_struct *p) { }
static inline void lwk_exit(struct task_struct *p) { }
static inline void lwk_free_task(struct task_struct *p) { }
static inline void lwk_cancel_fork(struct task_struct *p) { }
static inline int lwk_cpu_deactivate(unsigned int cpu) { return 0; }
static __always_inline void lwk_user_enter(void) { }
static inline void lwk_housekeeping_init(cpumask_var_t *masks, unsigned long *types) { }

#endif /* CONFIG_LWK */
#endif /* _LINUX_LWK_H */
