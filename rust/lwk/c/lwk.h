/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hooks of the lightweight kernel (LWK): free when configured off, and
 * behind a static key until a first partition exists when configured on.
 */
#ifndef _LINUX_LWK_H
#define _LINUX_LWK_H

#include <linux/cpumask.h>
#include <linux/jump_label.h>
#include <linux/llist.h>
#include <linux/mm_types.h>
#include <linux/nodemask_types.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/smp_types.h>
#include <linux/workqueue_types.h>

#ifdef CONFIG_LWK

/* On from the first partition's creation; tested before anything is loaded. */
DECLARE_STATIC_KEY_FALSE(lwk_active);
/* True on a CPU that belongs to a partition. */
DECLARE_PER_CPU_READ_MOSTLY(bool, lwk_owned);
/* The boot line had lwkcpus=. */
extern bool lwk_armed;

static inline bool lwk_owns_cpu(int cpu)
{
	return static_branch_unlikely(&lwk_active) && READ_ONCE(per_cpu(lwk_owned, cpu));
}

/* Is @p a task of a job? Its CPUs are then those of the job and no others. */
static inline bool lwk_task(const struct task_struct *p)
{
	return static_branch_unlikely(&lwk_active) && READ_ONCE(p->lwk.job);
}

static inline const struct cpumask *lwk_task_cpus(const struct task_struct *p)
{
	return &READ_ONCE(p->lwk.job)->cpus;
}

/* Copies the CPUs of the job of @p for one without a lock that keeps @p, whose entering it may fail yet, in the job. */
static inline bool lwk_copy_cpus(const struct task_struct *p, struct cpumask *cpus)
{
	const struct lwk_job *job;

	if (!static_branch_unlikely(&lwk_active))
		return false;
	guard(rcu)();
	job = READ_ONCE(p->lwk.job);
	if (!job || READ_ONCE(p->lwk.left))
		return false;
	cpumask_copy(cpus, &job->cpus);
	return true;
}

/* Is @p a task of a job that is on a CPU of Linux, for a system call? */
static inline bool lwk_away(const struct task_struct *p)
{
	return lwk_task(p) && p->lwk.away;
}

/* Is @p a task of a job, whose CPUs are those of the job? One that has given up its share only has to end, anywhere. */
static inline bool lwk_confined(const struct task_struct *p)
{
	return lwk_task(p) && !READ_ONCE(p->lwk.left);
}

static inline bool lwk_task_allowed(const struct task_struct *p, int cpu)
{
	if (lwk_owns_cpu(cpu))
		return !p->lwk.away && cpumask_test_cpu(cpu, lwk_task_cpus(p));
	return (p->lwk.away || READ_ONCE(p->lwk.left)) && cpu_active(cpu);
}

int lwk_select_away(struct task_struct *p);

/* The CPUs that may be valid for @p, whose usual set is @usual. */
static inline const struct cpumask *lwk_valid_cpus(const struct task_struct *p,
						   const struct cpumask *usual)
{
	return lwk_confined(p) ? lwk_task_cpus(p) : usual;
}

void __lwk_fork(struct task_struct *p);
void __lwk_post_fork(struct task_struct *p);
void lwk_rs_exit(struct task_struct *p);
void lwk_rs_free_task(struct task_struct *p);

/* A new task exists from here on: it joins its parent's job. */
static inline void lwk_fork(struct task_struct *p)
{
	if (lwk_task(p))
		__lwk_fork(p);
}

/* The new task can be found by everybody, but does not run yet. */
static inline void lwk_post_fork(struct task_struct *p)
{
	if (lwk_task(p))
		__lwk_post_fork(p);
}

/* The task gives up its share in the job's reservation. */
static inline void lwk_exit(struct task_struct *p)
{
	if (lwk_task(p))
		lwk_rs_exit(p);
}

/* Nobody refers to the task any more. It may have outlived the last partition. */
static inline void lwk_free_task(struct task_struct *p)
{
	if (unlikely(p->lwk.job))
		lwk_rs_free_task(p);
}

void __lwk_cancel_fork(struct task_struct *p);

static inline void lwk_cancel_fork(struct task_struct *p)
{
	if (lwk_task(p))
		__lwk_cancel_fork(p);
}

void lwk_tell_refused(const char *what);

/* Must the cookie of core scheduling of @p stay as it is? Its core is not shared by turns. */
static inline bool lwk_no_cookie(const struct task_struct *p)
{
	return lwk_task(p);
}

/* The same for the one who asks for a cookie, which the log is to tell. */
static inline bool lwk_refuses_cookie(const struct task_struct *p)
{
	if (!lwk_no_cookie(p))
		return false;
	lwk_tell_refused("a cookie of core scheduling for, or of, a thread of a job: LWK CPUs do not share cores by turns; keep cores whole instead, one job on each");
	return true;
}

struct pt_regs;

bool __lwk_idle_waits(void);
bool __lwk_idle_polls(void);

/* The number of the system call that Linux is to carry out, here or where the task is now; -1 if none. */
long lwk_syscall_enter(struct pt_regs *regs, long nr);
/* The task is about to return to user mode. */
void lwk_exit_to_user(void);

void __lwk_file_fault(void);

/* The task is about to wait for a page of a file to be read. */
static inline void lwk_file_fault(void)
{
	if (lwk_task(current))
		__lwk_file_fault();
}

/* The CPU falls idle only until a task comes back that is away for a system call; its tick is stopped. */
static inline bool lwk_idle_waits(void)
{
	return static_branch_unlikely(&lwk_active) && __lwk_idle_waits();
}

/* It must not even halt. */
static inline bool lwk_idle_polls(void)
{
	return static_branch_unlikely(&lwk_active) && __lwk_idle_polls();
}

/* True on a CPU that is not to be active when it is on line, as it is the LWK's, comes to it or leaves it. */
DECLARE_PER_CPU_READ_MOSTLY(bool, lwk_inactive);
/* True on one that only the LWK may take down. */
DECLARE_PER_CPU_READ_MOSTLY(bool, lwk_pinned);

int __lwk_cpu_deactivate(unsigned int cpu);

/* May @cpu go off line? */
static inline int lwk_cpu_deactivate(unsigned int cpu)
{
	return static_branch_unlikely(&lwk_active) ? __lwk_cpu_deactivate(cpu) : 0;
}

/* Is @cpu, which is on line, or still is because Linux could not take it down, to be active? */
static inline bool lwk_cpu_activates(unsigned int cpu)
{
	return !static_branch_unlikely(&lwk_active) || !READ_ONCE(per_cpu(lwk_inactive, cpu));
}

/* This CPU left user mode for an interrupt or an exception, and not for a system call. */
DECLARE_PER_CPU(bool, lwk_interrupted);
DECLARE_PER_CPU(unsigned long, lwk_syscalls);

void __lwk_user_exit(void);
void __lwk_user_enter(void);

/* Where the recursion of context tracking starts on CPUs of the LWK; on others it starts at 0. */
#define LWK_CT_RECURSION	(INT_MAX / 2)

/* This CPU, one of the LWK, comes from user mode. An interrupt leaves -1 where a system call has its number. */
static __always_inline void lwk_user_exit(void)
{
	if ((long)task_pt_regs(current)->orig_ax < 0)
		__lwk_user_exit();
}

/* This CPU, one of the LWK, returns to user mode. */
static __always_inline void lwk_user_enter(void)
{
	if (unlikely(__this_cpu_read(lwk_interrupted)))
		__lwk_user_enter();
	else
		__this_cpu_inc(lwk_syscalls);
}

void lwk_thread_sleeps(struct task_struct *p, unsigned int state);

/* What waits for a CPU: of kernel/smp.c and kernel/irq_work.c. */
DECLARE_PER_CPU_SHARED_ALIGNED(struct llist_head, call_single_queue);
DECLARE_PER_CPU(struct llist_head, raised_list);

/* This CPU is about to queue @node on another, which may want to know from whom it came. */
static __always_inline void lwk_note_sender(struct __call_single_node *node)
{
	if (static_branch_unlikely(&lwk_active))
		node->src = raw_smp_processor_id();
}

void lwk_housekeeping_init(cpumask_var_t *masks, unsigned long *types);

int lwk_exclude_unbound_work(const struct cpumask *isolated);

/* What a CPU in user mode may do when it next enters the kernel instead of being interrupted for it. */
#define LWK_SYNC_CORE	0x1	/* forget what it fetched of the kernel's code */
#define LWK_FLUSH_TLB	0x2	/* forget the kernel's address translations */
#define LWK_STAND_STILL	0x4	/* wait until the bit is gone: for stop_machine() */
#define LWK_WAIT	0x8	/* the same: for __lwk_stand_in() */

DECLARE_PER_CPU(atomic_t, lwk_deferred);
/* This CPU does not wait at the door. */
DECLARE_PER_CPU(bool, lwk_in_haste);

void __lwk_catch_up(void);
void __lwk_catch_up_nmi(void);

/* This CPU, one of the LWK, is in the kernel from here on, for RCU and everybody else. */
static __always_inline void lwk_catch_up(void)
{
	if (unlikely(raw_cpu_read(lwk_deferred.counter)))
		__lwk_catch_up();
}

/*
 * Any CPU is, for an NMI or for an interrupt while RCU did not watch. It does not wait: others may wait for an NMI
 * (backtraces, kgdb, a crash), and none returns to anywhere but where it came from.
 */
static __always_inline void lwk_catch_up_nmi(void)
{
	if (static_branch_unlikely(&lwk_active) && unlikely(raw_cpu_read(lwk_deferred.counter)))
		__lwk_catch_up_nmi();
}

/* A machine check came in user mode: its handler is where all CPUs wait for each other. */
static __always_inline void lwk_machine_check_enter(void)
{
	if (static_branch_unlikely(&lwk_active))
		raw_cpu_write(lwk_in_haste, true);
}

/* It has been dealt with, but for what the task does about it: that may use any of the kernel. */
static __always_inline void lwk_machine_check_exit(void)
{
	if (static_branch_unlikely(&lwk_active)) {
		raw_cpu_write(lwk_in_haste, false);
		lwk_catch_up();
	}
}

bool __lwk_defer(int cpu, unsigned int work);

static inline bool lwk_defer(int cpu, unsigned int work)
{
	return lwk_owns_cpu(cpu) && __lwk_defer(cpu, work);
}

bool lwk_interrupt_for_sync_core(int cpu, void *info);
bool lwk_interrupt_for_tlb(int cpu, void *info);
bool lwk_interrupt_for_barrier(int cpu, void *info);

/* As on_each_cpu() and smp_call_function(), but for CPUs of which @cond says that they see to it themselves. */
#define lwk_on_each_cpu(cond, func, info, wait) \
	on_each_cpu_cond(static_branch_unlikely(&lwk_active) ? (cond) : NULL, func, info, wait)
#define lwk_smp_call_function(cond, func, info, wait)			\
do {									\
	if (static_branch_unlikely(&lwk_active))			\
		on_each_cpu_cond(cond, func, info, wait);		\
	else								\
		smp_call_function(func, info, wait);			\
} while (0)

/*
 * Before a page of the kernel's page tables is freed, on all CPUs at once: even in user mode a CPU may look up addresses
 * ahead of time by what it remembers of the upper tables, and write "accessed" into a page that is no table any more.
 */
#define lwk_flush_tlb_tables(start, end)				\
do {									\
	if (static_branch_unlikely(&lwk_active))			\
		flush_tlb_all();					\
	else								\
		flush_tlb_kernel_range(start, end);			\
} while (0)

/*
 * After a large page of the kernel was split and before its parts change, on all CPUs at once: in user mode, too, a CPU
 * may look up addresses ahead of time, and must not hold a page in two sizes that say different things. If the caller
 * flushes later, for many pages, it is not @at_once without LWK CPUs.
 */
#define lwk_flush_tlb_split(at_once, start, end)			\
do {									\
	if (static_branch_unlikely(&lwk_active))			\
		flush_tlb_all();					\
	else if (at_once)						\
		flush_tlb_kernel_range(start, end);			\
} while (0)

/* As flush_tlb_all(), for translations of the kernel alone, which may wait unless it must be @now. */
#define lwk_flush_tlb_all(now)						\
do {									\
	if (static_branch_unlikely(&lwk_active) && !(now))		\
		flush_tlb_kernel_range(0, TLB_FLUSH_ALL);		\
	else								\
		flush_tlb_all();					\
} while (0)

bool __lwk_stand_in(int cpu, void (*work)(int cpu, void *info), void *info);

/*
 * Does @work on what belongs to @cpu alone, if that is an LWK CPU in user mode, which cannot come into the kernel
 * meanwhile. False if @cpu has to do it. Callers may be preempted, but @work is not and must not sleep.
 */
static inline bool lwk_stand_in(int cpu, void (*work)(int cpu, void *info), void *info)
{
	return lwk_owns_cpu(cpu) && __lwk_stand_in(cpu, work, info);
}

int __lwk_schedule_on_each_cpu(work_func_t func, void (*stand_in)(int cpu, void *info));

/* As schedule_on_each_cpu(), but CPUs of which others can do the work are spared. */
#define lwk_schedule_on_each_cpu(func, stand_in)			\
	(static_branch_unlikely(&lwk_active) ?				\
	 __lwk_schedule_on_each_cpu(func, stand_in) : schedule_on_each_cpu(func))

void lwk_fold_vm_stats(int cpu, void *unused);
bool lwk_has_vm_stats(int cpu);
void lwk_gather_vm_stats(int cpu);
void lwk_sync_overcommit(int cpu, void *unused);

int __lwk_spare_irqs(struct cpumask *mask);

/* Takes CPUs of the LWK out of @mask, which is for device interrupts; -EINVAL if it has no others. */
static inline int lwk_spare_irqs(struct cpumask *mask)
{
	return static_branch_unlikely(&lwk_active) ? __lwk_spare_irqs(mask) : 0;
}

bool __lwk_irq_hint(unsigned int irq, const struct cpumask *hint);

/* Sends an interrupt to those CPUs of a driver's @hint that are not of the LWK. False if all of them are welcome. */
static inline bool lwk_irq_hint(unsigned int irq, const struct cpumask *hint)
{
	return static_branch_unlikely(&lwk_active) && __lwk_irq_hint(irq, hint);
}

/* @cpu, or if that is one of the LWK the next on line that is not. */
static inline int lwk_skip_owned(int cpu)
{
	while (lwk_owns_cpu(cpu)) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
	}
	return cpu;
}

const struct cpumask *__lwk_stop_begin(const void *stop, const struct cpumask *named,
				       const struct cpumask *online);
bool __lwk_stop_hold(const void *stop);
void __lwk_stop_let_go(const void *stop);
bool __lwk_stop_again(void);

/*
 * The CPUs that have to take part in this @stop of all that are @online; the caller may have @named some. If they are not
 * all, lwk_stop_hold(), lwk_stop_let_go() and lwk_stop_again() follow.
 */
static inline const struct cpumask *lwk_stop_begin(const void *stop, const struct cpumask *named,
						   const struct cpumask *online)
{
	return static_branch_unlikely(&lwk_active) ? __lwk_stop_begin(stop, named, online) : online;
}

static inline void lwk_stop_count(const struct cpumask *stopped, const struct cpumask *online,
				  unsigned int *nr)
{
	if (stopped != online)
		*nr = cpumask_weight(stopped);
}

/* All take part who should. Do the others stand still, too? If not, nothing may be done. */
static inline bool lwk_stop_hold(const void *stop)
{
	return !static_branch_unlikely(&lwk_active) || __lwk_stop_hold(stop);
}

/* The last one has done its part: those who stand still may go on. */
static inline void lwk_stop_let_go(const void *stop)
{
	if (static_branch_unlikely(&lwk_active))
		__lwk_stop_let_go(stop);
}

/* The stop is over. Must it be done again, as more CPUs have to take part? */
static inline bool lwk_stop_again(const struct cpumask *stopped, const struct cpumask *online)
{
	return stopped != online && __lwk_stop_again();
}

#else /* !CONFIG_LWK */

#define lwk_armed false
static inline bool lwk_owns_cpu(int cpu) { return false; }
static inline bool lwk_task(const struct task_struct *p) { return false; }
static inline bool lwk_copy_cpus(const struct task_struct *p, struct cpumask *cpus) { return false; }
static inline bool lwk_confined(const struct task_struct *p) { return false; }
static inline bool lwk_no_cookie(const struct task_struct *p) { return false; }
static inline bool lwk_refuses_cookie(const struct task_struct *p) { return false; }
static inline bool lwk_task_allowed(const struct task_struct *p, int cpu) { return false; }
static inline const struct cpumask *lwk_task_cpus(const struct task_struct *p) { return NULL; }
static inline const struct cpumask *lwk_valid_cpus(const struct task_struct *p,
						   const struct cpumask *usual) { return usual; }
static inline bool lwk_away(const struct task_struct *p) { return false; }
static inline int lwk_select_away(struct task_struct *p) { return -1; }
static inline void lwk_fork(struct task_struct *p) { }
static inline void lwk_post_fork(struct task_struct *p) { }
static inline long lwk_syscall_enter(struct pt_regs *regs, long nr) { return nr; }
static inline void lwk_exit_to_user(void) { }
static inline void lwk_file_fault(void) { }
static inline bool lwk_idle_waits(void) { return false; }
static inline bool lwk_idle_polls(void) { return false; }
static inline void lwk_exit(struct task_struct *p) { }
static inline void lwk_free_task(struct task_struct *p) { }
static inline void lwk_cancel_fork(struct task_struct *p) { }
static inline int lwk_cpu_deactivate(unsigned int cpu) { return 0; }
static inline bool lwk_cpu_activates(unsigned int cpu) { return true; }
#define lwk_exclude_unbound_work(isolated)	workqueue_unbound_exclude_cpumask(isolated)
#define LWK_CT_RECURSION	0
static __always_inline void lwk_user_exit(void) { }
static __always_inline void lwk_user_enter(void) { }
static __always_inline void lwk_note_sender(struct __call_single_node *node) { }
static inline void lwk_housekeeping_init(cpumask_var_t *masks, unsigned long *types) { }
static __always_inline void lwk_catch_up(void) { }
static __always_inline void lwk_catch_up_nmi(void) { }
static __always_inline void lwk_machine_check_enter(void) { }
static __always_inline void lwk_machine_check_exit(void) { }
static inline bool lwk_defer(int cpu, unsigned int work) { return false; }
#define lwk_on_each_cpu(cond, func, info, wait)		on_each_cpu(func, info, wait)
#define lwk_smp_call_function(cond, func, info, wait)	smp_call_function(func, info, wait)
#define lwk_flush_tlb_tables(start, end)		flush_tlb_kernel_range(start, end)
#define lwk_flush_tlb_split(at_once, start, end)		\
do {								\
	if (at_once)						\
		flush_tlb_kernel_range(start, end);		\
} while (0)
#define lwk_flush_tlb_all(now)				flush_tlb_all()
static inline bool lwk_stand_in(int cpu, void (*work)(int cpu, void *info), void *info) { return false; }
#define lwk_schedule_on_each_cpu(func, stand_in)	schedule_on_each_cpu(func)
static inline int lwk_spare_irqs(struct cpumask *mask) { return 0; }
static inline bool lwk_irq_hint(unsigned int irq, const struct cpumask *hint) { return false; }
static inline int lwk_skip_owned(int cpu) { return cpu; }
static inline const struct cpumask *lwk_stop_begin(const void *stop, const struct cpumask *named,
						   const struct cpumask *online) { return online; }
static inline void lwk_stop_count(const struct cpumask *stopped, const struct cpumask *online,
				  unsigned int *nr) { }
static inline bool lwk_stop_hold(const void *stop) { return true; }
static inline void lwk_stop_let_go(const void *stop) { }
static inline bool lwk_stop_again(const struct cpumask *stopped,
				  const struct cpumask *online) { return false; }

#endif /* CONFIG_LWK */

#include <linux/lwk_mm.h>

#endif /* _LINUX_LWK_H */
