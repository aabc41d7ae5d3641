// SPDX-License-Identifier: GPL-2.0
/*
 * Spares an LWK CPU in user mode the interrupts that only bring its kernel side up to date: it does that itself before
 * it next uses the kernel, or another does it meanwhile. docs/deferral.md argues why that is safe.
 *
 * A sender first leaves the work (lwk_deferred), then looks whether the CPU is in user mode (context_tracking.state).
 * An entering CPU first notes that it is in the kernel, then looks for work. Both do so in fully ordered atomic
 * operations, so at least one of them sees the other: either the CPU does the work, or the sender interrupts it.
 */
#include <linux/context_tracking_state.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/lwk.h>
#include <linux/mman.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/sync_core.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include <asm/cpufeature.h>
#include <asm/invpcid.h>
#include <asm/tlbflush.h>

#include "rust.h"

DEFINE_PER_CPU(atomic_t, lwk_deferred);
DEFINE_PER_CPU(bool, lwk_in_haste);
static DEFINE_PER_CPU(unsigned long, lwk_caught_up);

/* True if @cpu need not be interrupted, as it will do @work before it next uses the kernel. */
bool __lwk_defer(int cpu, unsigned int work)
{
	int state;

	atomic_or(work, per_cpu_ptr(&lwk_deferred, cpu));
	/* Pairs with the atomic_add_return() of ct_kernel_enter_state(). */
	smp_mb__after_atomic();
	state = atomic_read(&per_cpu(context_tracking.state, cpu));
	/* An NMI that came in user mode runs the kernel, too: RCU watches then. */
	return (state & (CT_STATE_MASK | CT_RCU_WATCHING)) == CT_STATE_USER;
}

bool lwk_interrupt_for_sync_core(int cpu, void *info)
{
	return !lwk_defer(cpu, LWK_SYNC_CORE);
}

bool lwk_interrupt_for_tlb(int cpu, void *info)
{
	return !lwk_defer(cpu, LWK_FLUSH_TLB);
}

/* Entering the kernel is a full barrier already, and no code with interrupts off lasts across it. */
bool lwk_interrupt_for_barrier(int cpu, void *info)
{
	return !lwk_defer(cpu, 0);
}

/* As native_flush_tlb_global(), which may be traced. */
static __always_inline void lwk_flush_tlb(void)
{
	unsigned long cr4;

	if (static_cpu_has(X86_FEATURE_INVPCID)) {
		invpcid_flush_all();
		return;
	}
	cr4 = raw_cpu_read(cpu_tlbstate.cr4);
	asm volatile("mov %0, %%cr4" : : "r" (cr4 ^ X86_CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r" (cr4) : "memory");
}

/*
 * Whatever is not noinstr may have been patched, and what is not entry code unmapped.
 *
 * The bits go when the work is done, so that an NMI that comes in between finds them and does it, too. A bit that is set
 * in between and goes with them is not missed: who set it has found this CPU in the kernel and interrupts it.
 */
static __always_inline void lwk_make_up(atomic_t *deferred)
{
	unsigned int work = raw_atomic_read(deferred) & (LWK_SYNC_CORE | LWK_FLUSH_TLB);

	if (work & LWK_FLUSH_TLB)
		lwk_flush_tlb();
	sync_core();
	raw_atomic_andnot(work, deferred);
	raw_cpu_inc(lwk_caught_up);
}

/*
 * Others stand still for stop_machine(), or do what is this CPU's, and take the bits away at their end. In a panic that
 * end may never come, and the CPU must take the interrupt that stops it.
 */
static __always_inline bool lwk_is_held(atomic_t *deferred)
{
	return raw_atomic_read(deferred) & (LWK_STAND_STILL | LWK_WAIT) &&
	       !raw_cpu_read(lwk_in_haste) && raw_atomic_read(&panic_cpu) == PANIC_CPU_INVALID;
}

/* First thing in the kernel, with interrupts off. */
noinstr void __lwk_catch_up(void)
{
	atomic_t *deferred = raw_cpu_ptr(&lwk_deferred);

	lwk_make_up(deferred);
	if (!lwk_is_held(deferred))
		return;
	do {
		cpu_relax();
	} while (lwk_is_held(deferred));
	/* Code may have been patched meanwhile, without an interrupt for CPUs that stood still. */
	sync_core();
}

/* The same in an NMI, or in an interrupt of an idle CPU. */
noinstr void __lwk_catch_up_nmi(void)
{
	lwk_make_up(raw_cpu_ptr(&lwk_deferred));
}

u64 lwk_c_caught_up(int cpu)
{
	return READ_ONCE(per_cpu(lwk_caught_up, cpu));
}

/*
 * One stop_machine() at a time may leave CPUs out. It goes in rounds:
 *
 *   begin -> all but lwk_left_out take part -> hold -+-> all stand still -> let go -> again: no
 *              ^                                     |
 *              +---- again: those take part, too ----+-> some (lwk_came_in) are in the kernel: nothing is done
 *
 * A CPU that stands still does so with interrupts off, so it may only while everybody else is where nobody waits for it:
 * the last to come there tries to hold them, all or none, and the last to have done its part lets them go before anybody
 * goes on. Each round has fewer to hold.
 */
static DEFINE_MUTEX(lwk_stop_mutex);
static const void *lwk_stopping;
static struct cpumask lwk_stop_mask;
static struct cpumask lwk_left_out;
/* Not at once in lwk_stop_mask, along which the caller may still be sending the stop to its CPUs. */
static struct cpumask lwk_came_in;

/**
 * __lwk_stop_begin() - the CPUs that must take part in stop_machine()
 * @stop: whatever tells this one from others
 * @named: those on which the caller wants something done; NULL if that is one of the online CPUs, which is the first
 * @online: all
 *
 * Return: @online, or all of them but some LWK CPUs in user mode.
 */
const struct cpumask *__lwk_stop_begin(const void *stop, const struct cpumask *named,
				       const struct cpumask *online)
{
	int cpu;

	if (!named)
		named = cpumask_of(cpumask_first(online));
	mutex_lock(&lwk_stop_mutex);
	cpumask_copy(&lwk_stop_mask, online);
	cpumask_clear(&lwk_left_out);
	cpumask_clear(&lwk_came_in);
	for_each_cpu_andnot(cpu, online, named) {
		if (lwk_defer(cpu, 0)) {
			cpumask_clear_cpu(cpu, &lwk_stop_mask);
			cpumask_set_cpu(cpu, &lwk_left_out);
		}
	}
	if (cpumask_empty(&lwk_left_out)) {
		mutex_unlock(&lwk_stop_mutex);
		return online;
	}
	WRITE_ONCE(lwk_stopping, stop);
	return &lwk_stop_mask;
}

static void lwk_release(void)
{
	int cpu;

	/* What was done while all stood still is seen by whoever goes on. */
	smp_mb__before_atomic();
	for_each_cpu(cpu, &lwk_left_out)
		atomic_andnot(LWK_STAND_STILL, per_cpu_ptr(&lwk_deferred, cpu));
}

static bool lwk_hold(int cpu)
{
	/*
	 * Nobody who takes part waits for a call, but one that it left without waiting may be on its way, and at its
	 * next one the sender would wait for the end of that (csd_lock()), in the middle of the stop.
	 */
	return lwk_defer(cpu, LWK_STAND_STILL) && llist_empty(&per_cpu(call_single_queue, cpu));
}

/**
 * __lwk_stop_hold() - have the CPUs that are left out stand still
 * @stop: of any stop_machine(); those that leave nobody out are let pass
 *
 * Called by the last CPU that comes to take part, while all others that do serve interrupts.
 *
 * Return: false if one of them is in the kernel; then none is held, and nothing may be done.
 */
bool __lwk_stop_hold(const void *stop)
{
	bool all = true;
	int cpu;

	if (READ_ONCE(lwk_stopping) != stop)
		return true;
	/* One that comes to the door before another turns out to be in the kernel waits for no more than this loop. */
	guard(irqsave)();
	for_each_cpu(cpu, &lwk_left_out) {
		if (!lwk_hold(cpu)) {
			cpumask_set_cpu(cpu, &lwk_came_in);
			all = false;
		}
	}
	if (!all)
		lwk_release();
	return all;
}

/* Everything is done that needed all CPUs to stand still; those that take part still have their interrupts off. */
void __lwk_stop_let_go(const void *stop)
{
	if (READ_ONCE(lwk_stopping) == stop)
		lwk_release();
}

/**
 * __lwk_stop_again() - end a stop, or a round of it
 *
 * Return: true if the round was for nothing, and the stop must begin again with the CPUs that __lwk_stop_begin() told of,
 * which are some more.
 */
bool __lwk_stop_again(void)
{
	if (!cpumask_empty(&lwk_came_in)) {
		cpumask_or(&lwk_stop_mask, &lwk_stop_mask, &lwk_came_in);
		cpumask_andnot(&lwk_left_out, &lwk_left_out, &lwk_came_in);
		cpumask_clear(&lwk_came_in);
		return true;
	}
	WRITE_ONCE(lwk_stopping, NULL);
	mutex_unlock(&lwk_stop_mutex);
	return false;
}

/* One at a time, so that each can take the bit away. */
static DEFINE_SPINLOCK(lwk_stand_in_lock);

/*
 * The CPU may be held at the door, with interrupts off, while others wait for a call there; so the work must not wait for
 * them. It takes no lock but those that are taken with interrupts off, which nobody holds who waits for a call, and no
 * softirq comes in between, which might.
 */
bool __lwk_stand_in(int cpu, void (*work)(int cpu, void *info), void *info)
{
	bool still;

	spin_lock_bh(&lwk_stand_in_lock);
	still = __lwk_defer(cpu, LWK_WAIT);
	if (still)
		work(cpu, info);
	/* What was done for the CPU is done when it goes on. */
	smp_mb__before_atomic();
	atomic_andnot(LWK_WAIT, per_cpu_ptr(&lwk_deferred, cpu));
	spin_unlock_bh(&lwk_stand_in_lock);
	return still;
}

int __lwk_schedule_on_each_cpu(work_func_t func, void (*stand_in)(int cpu, void *info))
{
	struct work_struct __percpu *works = alloc_percpu(struct work_struct);
	int cpu;

	if (!works)
		return -ENOMEM;
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		INIT_WORK(per_cpu_ptr(works, cpu), func);
		if (!lwk_stand_in(cpu, stand_in, NULL))
			schedule_work_on(cpu, per_cpu_ptr(works, cpu));
	}
	for_each_online_cpu(cpu)
		flush_work(per_cpu_ptr(works, cpu));
	cpus_read_unlock();
	free_percpu(works);
	return 0;
}

/* As refresh_vm_stats() does for its own CPU. */
void lwk_fold_vm_stats(int cpu, void *unused)
{
	cpu_vm_stats_fold(cpu);
}

/* The idle task itself counts nothing, so that nobody is in the middle of it but a softirq. */
static void lwk_fold_vm_stats_here(void *unused)
{
	if (is_idle_task(current) && !softirq_count())
		cpu_vm_stats_fold(smp_processor_id());
}

/*
 * Once a second, from a CPU of Linux: what @cpu has counted gets to the sums, for which some wait. In user mode it is
 * spared; idle it has nobody to disturb; in the kernel it keeps its counts until next time.
 */
void lwk_gather_vm_stats(int cpu)
{
	if (lwk_has_vm_stats(cpu) && !lwk_stand_in(cpu, lwk_fold_vm_stats, NULL) && idle_cpu(cpu))
		smp_call_function_single(cpu, lwk_fold_vm_stats_here, NULL, false);
}

/* As sync_overcommit_as() does. */
void lwk_sync_overcommit(int cpu, void *unused)
{
	s32 *count = per_cpu_ptr(vm_committed_as.counters, cpu);

	guard(raw_spinlock_irqsave)(&vm_committed_as.lock);
	vm_committed_as.count += *count;
	*count = 0;
}
