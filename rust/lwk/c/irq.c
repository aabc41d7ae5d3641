// SPDX-License-Identifier: GPL-2.0
/*
 * Device interrupts leave a CPU before the LWK takes it, and come back after. Going off line would move them, too, but
 * their masks would still allow the CPU: the next driver that changes one, or the vector allocator, would choose it
 * again. Interrupts that a driver spread itself follow HK_TYPE_MANAGED_IRQ. Nor may they come back meanwhile: by a write
 * to /proc/irq, or by a driver's hint, which drivers repeat when a CPU comes on line.
 */
#define pr_fmt(fmt) "lwk: " fmt

#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/error-injection.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/lwk.h>
#include <linux/slab.h>

#include "rust.h"

/**
 * struct lwk_irqs - the interrupts that left a CPU
 * @nr: how many interrupts there could be then
 * @bits: first those that could come to it among others, then those that could only come to it
 */
struct lwk_irqs {
	unsigned int nr;
	unsigned long bits[];
};

static DEFINE_PER_CPU(struct lwk_irqs *, lwk_irqs);
static DEFINE_PER_CPU(bool, lwk_was_default);
/* No interrupt may be sent there: longer than the CPU is the LWK's, as until then one would stay in masks for good. */
static DEFINE_PER_CPU(bool, lwk_is_spared);

static unsigned long *lwk_irqs_sole(struct lwk_irqs *irqs)
{
	return irqs->bits + BITS_TO_LONGS(irqs->nr);
}

/* The CPUs that the interrupt may come to, with a change that waits for the next time it comes. */
static void lwk_irq_mask(struct irq_desc *desc, struct cpumask *mask)
{
	guard(raw_spinlock_irqsave)(&desc->lock);
#ifdef CONFIG_GENERIC_PENDING_IRQ
	if (irqd_is_setaffinity_pending(&desc->irq_data)) {
		cpumask_copy(mask, desc->pending_mask);
		return;
	}
#endif
	cpumask_copy(mask, irq_data_get_affinity_mask(&desc->irq_data));
}

static bool lwk_irq_moves(unsigned int irq, struct irq_desc *desc)
{
	return desc && !irqd_affinity_is_managed(&desc->irq_data) && irq_can_set_affinity(irq);
}

static void lwk_irq_leave(unsigned int irq, int cpu, struct lwk_irqs *irqs, struct cpumask *mask)
{
	struct irq_desc *desc = irq_to_desc(irq);
	unsigned long *bits = irqs->bits;

	if (irq >= irqs->nr || !lwk_irq_moves(irq, desc))
		return;
	lwk_irq_mask(desc, mask);
	if (!cpumask_test_cpu(cpu, mask))
		return;
	cpumask_clear_cpu(cpu, mask);
	if (!cpumask_intersects(mask, cpu_online_mask)) {
		cpumask_copy(mask, irq_default_affinity);
		bits = lwk_irqs_sole(irqs);
	}
	if (!irq_set_affinity(irq, mask))
		set_bit(irq, bits);
}

/**
 * lwk_c_irqs_leave() - keep device interrupts off a CPU, from now on
 * @cpu: a CPU that is on line
 *
 * Return: 0 or -ENOMEM.
 */
int lwk_c_irqs_leave(int cpu)
{
	unsigned int irq, nr = nr_irqs;
	struct lwk_irqs *irqs;
	cpumask_var_t mask;

	irqs = kzalloc(struct_size(irqs, bits, 2 * BITS_TO_LONGS(nr)), GFP_KERNEL);
	if (!irqs)
		return -ENOMEM;
	if (!alloc_cpumask_var(&mask, GFP_KERNEL)) {
		kfree(irqs);
		return -ENOMEM;
	}
	irqs->nr = nr;
	WRITE_ONCE(per_cpu(lwk_is_spared, cpu), true);
	per_cpu(lwk_was_default, cpu) = cpumask_test_cpu(cpu, irq_default_affinity);
	cpumask_clear_cpu(cpu, irq_default_affinity);
	irq_lock_sparse();
	for_each_irq_nr(irq)
		lwk_irq_leave(irq, cpu, irqs, mask);
	irq_unlock_sparse();
	free_cpumask_var(mask);
	per_cpu(lwk_irqs, cpu) = irqs;
	return 0;
}
ALLOW_ERROR_INJECTION(lwk_c_irqs_leave, ERRNO);

/**
 * lwk_c_irqs_return() - let the interrupts that left a CPU come to it again
 * @cpu: the CPU, on line
 */
void lwk_c_irqs_return(int cpu)
{
	struct lwk_irqs *irqs = per_cpu(lwk_irqs, cpu);
	struct irq_desc *desc;
	cpumask_var_t mask;
	unsigned int irq;

	per_cpu(lwk_irqs, cpu) = NULL;
	WRITE_ONCE(per_cpu(lwk_is_spared, cpu), false);
	if (per_cpu(lwk_was_default, cpu))
		cpumask_set_cpu(cpu, irq_default_affinity);
	/* Cannot sleep for long, and must not fail: the CPU is going back whatever happens. */
	if (!irqs || !alloc_cpumask_var(&mask, GFP_KERNEL | __GFP_NOFAIL))
		return;
	irq_lock_sparse();
	for_each_irq_nr(irq) {
		desc = irq_to_desc(irq);
		if (irq >= irqs->nr || !lwk_irq_moves(irq, desc))
			continue;
		if (test_bit(irq, irqs->bits))
			lwk_irq_mask(desc, mask);
		else if (test_bit(irq, lwk_irqs_sole(irqs)))
			cpumask_clear(mask);
		else
			continue;
		cpumask_set_cpu(cpu, mask);
		irq_set_affinity(irq, mask);
	}
	irq_unlock_sparse();
	free_cpumask_var(mask);
	kfree(irqs);
}

/* A job may send interrupts to its own CPUs, nobody else may. False if no CPU is left. */
static bool lwk_take_out_spared(struct cpumask *mask)
{
	bool is_changed = false;
	int cpu;

	for_each_cpu(cpu, mask) {
		if (!lwk_owns_cpu(cpu) && !READ_ONCE(per_cpu(lwk_is_spared, cpu)))
			continue;
		if (lwk_task(current) && cpumask_test_cpu(cpu, lwk_task_cpus(current)))
			continue;
		cpumask_clear_cpu(cpu, mask);
		is_changed = true;
	}
	return !is_changed || !cpumask_empty(mask);
}

int __lwk_spare_irqs(struct cpumask *mask)
{
	if (lwk_take_out_spared(mask))
		return 0;
	pr_info_ratelimited("an interrupt was to come to CPUs of partitions only: name a CPU of Linux, too, or let the job that has them ask\n");
	return -EINVAL;
}

bool __lwk_irq_hint(unsigned int irq, const struct cpumask *hint)
{
	cpumask_var_t mask;
	bool is_changed;

	/* Drivers may hold a lock. */
	if (!alloc_cpumask_var(&mask, GFP_NOWAIT))
		return false;
	cpumask_copy(mask, hint);
	if (!lwk_take_out_spared(mask))
		cpumask_copy(mask, irq_default_affinity);
	is_changed = !cpumask_equal(mask, hint);
	if (is_changed)
		irq_set_affinity(irq, mask);
	free_cpumask_var(mask);
	return is_changed;
}
