// SPDX-License-Identifier: GPL-2.0
/*
 * What an interrupt of an LWK CPU is about: seen as the CPU enters the kernel, before the interrupt is handled, by
 * looking at what waits for the CPU. Senders pay nothing for it but a word that says who they are.
 */
#include <linux/error-injection.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irq_work.h>
#include <linux/kallsyms.h>
#include <linux/kernel_stat.h>
#include <linux/lwk.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/vmstat.h>

#include <asm/hw_irq.h>

#include "../uapi/lwk.h"
#include "rust.h"
#include "time/tick-internal.h"
#include "workqueue_internal.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* A queue is never longer than that in practice; who looks must come to an end. */
#define LWK_MAX_PEEKED	64

DEFINE_PER_CPU(bool, lwk_interrupted);
static DEFINE_PER_CPU(struct lwk_entry, lwk_entry);
/* How often the device interrupt of each vector had come at the last look. */
static DEFINE_PER_CPU(u32 *, lwk_vector_counts);

static u64 lwk_irqs(int cpu)
{
	return arch_irq_stat_cpu(cpu) + kstat_cpu_irqs_sum(cpu);
}

static u64 lwk_faults(void)
{
	return __this_cpu_read(vm_event_states.event[PGFAULT]);
}

/*
 * The function that the first of the waiting calls will run: those that somebody waits for come first, then the others,
 * each in the order in which they came. Only this CPU takes entries off the queue, so they stay.
 */
static noinline void lwk_peek_calls(struct lwk_entry *entry, struct llist_node *node)
{
	call_single_data_t *csd, *first = NULL;
	bool waited = false;
	unsigned int nr;

	for (nr = 0; node && nr < LWK_MAX_PEEKED; nr++, node = node->next) {
		csd = llist_entry(node, call_single_data_t, node.llist);
		/* The newest come first here. */
		if ((READ_ONCE(csd->node.u_flags) & CSD_FLAG_TYPE_MASK) == CSD_TYPE_SYNC)
			waited = true;
		else if (waited)
			continue;
		first = csd;
	}
	entry->nr_calls = nr;
	/* Others set flags of an irq_work that waits already, but its type stays. */
	switch (READ_ONCE(first->node.u_flags) & CSD_FLAG_TYPE_MASK) {
	case CSD_TYPE_SYNC:
		entry->call_kind = LWK_RAN_CALL_WAIT;
		break;
	case CSD_TYPE_ASYNC:
		entry->call_kind = LWK_RAN_CALL;
		break;
	case CSD_TYPE_IRQ_WORK:
		entry->call_kind = LWK_RAN_IRQ_WORK;
		break;
	default:
		entry->call_kind = LWK_RAN_WAKE_UP;
	}
	/* An irq_work has its function in the same place. */
	BUILD_BUG_ON(offsetof(struct irq_work, func) != offsetof(call_single_data_t, func));
	entry->call = entry->call_kind == LWK_RAN_WAKE_UP ? 0 : (unsigned long)first->func;
	lwk_c_peek_sender(entry, first->node.src);
}

static u64 lwk_peek_work(void)
{
	struct llist_node *node = READ_ONCE(this_cpu_ptr(&raised_list)->first);

	return node ? (unsigned long)llist_entry(node, struct irq_work, node.llist)->func : 0;
}

/* The function of the timer that is due first. Others may cancel timers of this CPU, so that looking needs the lock. */
static noinline u64 lwk_peek_timer(struct hrtimer_cpu_base *base)
{
	ktime_t expires, first = KTIME_MAX;
	unsigned long active, index;
	struct timerqueue_node *node;
	u64 function = 0;

	if (!raw_spin_trylock(&base->lock))
		return 0;
	active = base->active_bases;
	for_each_set_bit(index, &active, HRTIMER_MAX_CLOCK_BASES) {
		node = timerqueue_getnext(&base->clock_base[index].active);
		if (!node)
			continue;
		expires = ktime_sub(node->expires, base->clock_base[index].offset);
		if (expires >= first)
			continue;
		first = expires;
		function = (unsigned long)container_of(node, struct hrtimer, node)->function;
	}
	raw_spin_unlock(&base->lock);
	return function;
}

static u32 lwk_thread_flags(void)
{
	unsigned long flags = read_thread_flags();

	return (flags & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL) ? LWK_NOISE_SIGNAL : 0) |
	       (flags & _TIF_NEED_RESCHED ? LWK_NOISE_RESCHED : 0) |
	       (flags & _TIF_NOTIFY_RESUME ? LWK_NOISE_TASK_WORK : 0);
}

/* A reader of its latch may meet the writer, and then reads again: KCSAN does not know that of 6.12. */
static u64 lwk_now_ns(void)
{
	return data_race(ktime_get_mono_fast_ns());
}

/* Called with interrupts off, before the interrupt or fault is handled or counted. */
void __lwk_user_exit(void)
{
	struct hrtimer_cpu_base *base = this_cpu_ptr(&hrtimer_bases);
	struct lwk_entry *entry = this_cpu_ptr(&lwk_entry);
	struct llist_node *calls = READ_ONCE(this_cpu_ptr(&call_single_queue)->first);
	int cpu = smp_processor_id();

	__this_cpu_write(lwk_interrupted, true);
	entry->time_ns = lwk_now_ns();
	entry->faults = lwk_faults();
	entry->flags = lwk_thread_flags();
	entry->victim_tid = current->pid;
	entry->victim_pid = current->tgid;
	entry->nr_calls = 0;
	if (unlikely(calls))
		lwk_peek_calls(entry, calls);
	entry->work = lwk_peek_work();
	entry->timer = 0;
	if (unlikely(base->expires_next <= entry->time_ns))
		entry->timer = lwk_peek_timer(base);
	/* Those that came while the CPU was in the kernel are nobody's disturbance. */
	if (unlikely(entry->irqs != lwk_irqs(cpu))) {
		lwk_rs_irqs_meanwhile(cpu, entry);
		entry->irqs = lwk_irqs(cpu);
	}
}

/* Called with interrupts off. */
void __lwk_user_enter(void)
{
	struct lwk_entry *entry = this_cpu_ptr(&lwk_entry);
	int cpu = smp_processor_id();
	u64 irqs = lwk_irqs(cpu);

	__this_cpu_write(lwk_interrupted, false);
	if (lwk_rs_user_enter(cpu, entry, irqs, lwk_faults()))
		entry->irqs = irqs;
}

/* @p of a job goes to sleep in this @state: what interrupted it may not end by its return. */
void lwk_thread_sleeps(struct task_struct *p, unsigned int state)
{
	struct lwk_entry *entry = this_cpu_ptr(&lwk_entry);
	bool stops = state & (__TASK_STOPPED | __TASK_TRACED | TASK_FROZEN);
	int cpu = smp_processor_id();

	if (!__this_cpu_read(lwk_interrupted) || entry->victim_tid != p->pid)
		return;
	/* It never will. */
	if (state & TASK_DEAD)
		__lwk_user_enter();
	else
		lwk_rs_thread_sleeps(cpu, entry, stops, lwk_irqs(cpu), lwk_faults());
}

/* When the CPU last came from user mode, or 0 if it has returned there since or came for a system call. */
u64 lwk_c_entered_ns(void)
{
	return __this_cpu_read(lwk_interrupted) ? __this_cpu_read(lwk_entry.time_ns) : 0;
}

u64 lwk_c_now_ns(void)
{
	return lwk_now_ns();
}

/* The work that the running task did last, if it is a kworker; called as it gives the CPU away. */
u64 lwk_c_guest_work(void)
{
	struct worker *worker;

	if (!(current->flags & PF_WQ_WORKER))
		return 0;
	worker = kthread_data(current);
	return (unsigned long)(worker->current_func ?: worker->last_func);
}

/* Notes how often the interrupt of each vector has come, and returns one that came since the last call, or ~0. */
u32 lwk_c_moved_irq(int cpu)
{
	u32 *seen = per_cpu(lwk_vector_counts, cpu), moved = ~0, vector, count;
	struct irq_desc *desc;

	if (!seen)
		return moved;
	for (vector = FIRST_EXTERNAL_VECTOR; vector < NR_VECTORS; vector++) {
		desc = READ_ONCE(per_cpu(vector_irq, cpu)[vector]);
		if (IS_ERR_OR_NULL(desc))
			continue;
		count = irq_desc_kstat_cpu(desc, cpu);
		if (seen[vector] != count)
			moved = desc->irq_data.irq;
		seen[vector] = count;
	}
	return moved;
}

/**
 * lwk_c_noise_room() - memory for the log of a CPU, near it, zeroed and never freed
 * @cpu: a CPU that has none yet
 * @size: how much
 *
 * Return: the memory, or NULL.
 */
void *lwk_c_noise_room(int cpu, size_t size)
{
	int node = cpu_to_node(cpu);
	void *room = kvzalloc_node(size, GFP_KERNEL, node);
	u32 *counts = kcalloc_node(NR_VECTORS, sizeof(*counts), GFP_KERNEL, node);

	if (!room || !counts) {
		kvfree(room);
		kfree(counts);
		return NULL;
	}
	per_cpu(lwk_vector_counts, cpu) = counts;
	return room;
}
ALLOW_ERROR_INJECTION(lwk_c_noise_room, NULL);

/* The name of the function at @address, cut to @size bytes, or nothing. */
void lwk_c_symbol(u64 address, char *name, size_t size)
{
	unsigned long length, offset;
	char buffer[KSYM_NAME_LEN];
	char *module;

	name[0] = '\0';
	if (address && kallsyms_lookup(address, &length, &offset, &module, buffer))
		strscpy(name, buffer, size);
}

/* What a device calls its interrupt, cut to @size bytes, or nothing; returns the handler's address, or 0. */
u64 lwk_c_irq_action(u32 irq, char *name, size_t size)
{
	struct irq_desc *desc;
	u64 handler = 0;

	name[0] = '\0';
	irq_lock_sparse();
	desc = irq_to_desc(irq);
	if (desc) {
		guard(raw_spinlock_irqsave)(&desc->lock);
		if (desc->action) {
			strscpy(name, desc->action->name ?: "", size);
			handler = (unsigned long)desc->action->handler;
		}
	}
	irq_unlock_sparse();
	return handler;
}

void lwk_c_trace_noise(const struct lwk_disturbance *noise)
{
	trace_lwk_noise(noise);
}

/* @call is a number and one more, or 0 on the way home. */
void lwk_c_trace_move(u32 call, u32 from, u32 to)
{
	trace_lwk_move((int)call - 1, from, to);
}
