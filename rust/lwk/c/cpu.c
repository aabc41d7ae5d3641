// SPDX-License-Identifier: GPL-2.0
/*
 * What Linux keeps about a CPU in masks and per-CPU variables, changed while that CPU is off line. The order of the
 * steps and their undoing are in rust/lwk/logic/handover.rs.
 */
#define pr_fmt(fmt) "lwk: " fmt

#include <linux/cgroup.h>
#include <linux/context_tracking.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpuset.h>
#include <linux/device.h>
#include <linux/error-injection.h>
#include <linux/kernel_stat.h>
#include <linux/lwk.h>
#include <linux/nmi.h>
#include <linux/sched/isolation.h>
#include <linux/tick.h>
#include <linux/topology.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include <asm/tsc.h>
#ifdef CONFIG_X86_MCE
#include <asm/mce.h>
#endif

#include "rust.h"

DEFINE_PER_CPU_READ_MOSTLY(bool, lwk_owned);
DEFINE_PER_CPU_READ_MOSTLY(bool, lwk_inactive);
DEFINE_PER_CPU_READ_MOSTLY(bool, lwk_pinned);
DEFINE_PER_CPU(unsigned long, lwk_syscalls);

/* Its partition may have some threads of a core and Linux the others. */
static DEFINE_PER_CPU(bool, lwk_shares_core);

/* What the CPU was before the LWK had it. */
static DEFINE_PER_CPU(bool, lwk_was_watched);

/* The work that an LWK CPU does not share; the types of nohz_full= and isolcpus= together. */
static const unsigned long lwk_hk_types =
	BIT(HK_TYPE_TIMER) | BIT(HK_TYPE_RCU) | BIT(HK_TYPE_MISC) | BIT(HK_TYPE_TICK) |
	BIT(HK_TYPE_DOMAIN) | BIT(HK_TYPE_WQ) | BIT(HK_TYPE_MANAGED_IRQ) | BIT(HK_TYPE_KTHREAD);

/* The masks of kernel/sched/isolation.c. */
static cpumask_var_t *lwk_hk_masks;

/* Makes every mask that nohz_full= and isolcpus= did not make, and full dynticks possible on every CPU. */
void __init lwk_housekeeping_init(cpumask_var_t *masks, unsigned long *types)
{
	unsigned int type;

	if (!lwk_armed)
		return;
	/* Unarmed again when memory is short this early: the machine boots on. */
	lwk_armed = false;
	if (!tick_nohz_full_running && WARN_ON(!zalloc_cpumask_var(&tick_nohz_full_mask, GFP_NOWAIT)))
		return;
	for_each_set_bit(type, &lwk_hk_types, HK_TYPE_MAX) {
		if (*types & BIT(type))
			continue;
		if (WARN_ON(!zalloc_cpumask_var(&masks[type], GFP_NOWAIT)))
			return;
		cpumask_copy(masks[type], cpu_possible_mask);
	}
	*types |= lwk_hk_types;
	tick_nohz_full_running = true;
	/*
	 * From here on full dynticks count as in use (tick_nohz_full_enabled()), so that the boot CPU keeps the time
	 * for ever. Without it the duty would wander, or be nobody's when a first CPU goes tickless.
	 */
	static_branch_inc(&context_tracking_key);
	lwk_hk_masks = masks;
	lwk_armed = true;
}

/* Does the CPU keep the time, so that it can not leave Linux? */
bool lwk_c_cpu_keeps_time(int cpu)
{
	return !tick_nohz_cpu_hotpluggable(cpu);
}

/* Has nohz_full= or isolcpus= taken the CPU from Linux already? */
bool lwk_c_cpu_isolated(int cpu)
{
	return !housekeeping_test_cpu(cpu, HK_TYPE_TICK) || !housekeeping_test_cpu(cpu, HK_TYPE_DOMAIN);
}

/* The LWK moves CPUs; under the lock. */
static bool lwk_hotplugs;

/*
 * Nobody else brings a CPU on line or off line from here on: one that is between two owners and comes on line meanwhile
 * would be active, with the masks of an LWK CPU.
 */
void lwk_c_hotplug_lock(void)
{
	lock_device_hotplug();
	lwk_hotplugs = true;
}

void lwk_c_hotplug_unlock(void)
{
	lwk_hotplugs = false;
	unlock_device_hotplug();
}

/*
 * Both with lwk_c_hotplug_lock() held. Who writes to cpuN/hotplug/target changes the CPU behind the device's back, which
 * then says that it has nothing to do.
 */
int lwk_c_cpu_offline(int cpu)
{
	int ret = device_offline(get_cpu_device(cpu));

	if (ret > 0)
		ret = cpu_online(cpu) ? cpu_device_down(get_cpu_device(cpu)) : 0;
	return ret;
}
ALLOW_ERROR_INJECTION(lwk_c_cpu_offline, ERRNO);

int lwk_c_cpu_online(int cpu)
{
	int ret = device_online(get_cpu_device(cpu));

	if (ret > 0)
		ret = cpu_online(cpu) ? 0 : cpu_device_up(get_cpu_device(cpu));
	return ret;
}
ALLOW_ERROR_INJECTION(lwk_c_cpu_online, ERRNO);

int __lwk_cpu_deactivate(unsigned int cpu)
{
	if (!READ_ONCE(per_cpu(lwk_pinned, cpu)))
		return 0;
	pr_info_ratelimited("CPU %u was to go off line: it belongs to a partition; first delete that, or take the CPU out of it with lwkctl resize\n",
			    cpu);
	return -EBUSY;
}

/* A CPU that Linux brings on line would disturb the LWK on the other threads of its core. */
static int lwk_cpu_comes(unsigned int cpu)
{
	int sibling;

	if (lwk_hotplugs)
		return 0;
	for_each_cpu(sibling, topology_sibling_cpumask(cpu)) {
		if (sibling == cpu || !lwk_owns_cpu(sibling) || per_cpu(lwk_shares_core, sibling))
			continue;
		pr_info("CPU %u was to come on line: CPU %d of the same core belongs to a partition; first delete that, or take the core out of it with lwkctl resize\n",
			cpu, sibling);
		/* For EBUSY the device would try again. */
		return -EPERM;
	}
	return 0;
}

/* Before a first partition. */
int __init lwk_c_cpu_init(void)
{
	int ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "lwk:online", lwk_cpu_comes, NULL);

	return ret < 0 ? ret : 0;
}

void lwk_c_set_shares_core(int cpu, bool shares)
{
	per_cpu(lwk_shares_core, cpu) = shares;
}

static void lwk_context_tracking(int cpu, bool on)
{
	struct context_tracking *ct = per_cpu_ptr(&context_tracking, cpu);

	ct->recursion = on ? LWK_CT_RECURSION : 0;
	if (ct->active == on)
		return;
	ct->active = on;
	if (on)
		lwk_c_vtime_init_idle(cpu);
}

void lwk_c_cpu_isolate(int cpu)
{
	unsigned int type;

	for_each_set_bit(type, &lwk_hk_types, HK_TYPE_MAX)
		cpumask_clear_cpu(cpu, lwk_hk_masks[type]);
	cpumask_set_cpu(cpu, tick_nohz_full_mask);
	lwk_context_tracking(cpu, true);
#ifdef CONFIG_LOCKUP_DETECTOR
	per_cpu(lwk_was_watched, cpu) = cpumask_test_cpu(cpu, &watchdog_cpumask);
	cpumask_clear_cpu(cpu, &watchdog_cpumask);
	lockup_detector_reconfigure();
#endif
}

void lwk_c_cpu_unisolate(int cpu)
{
	unsigned int type;

#ifdef CONFIG_LOCKUP_DETECTOR
	if (per_cpu(lwk_was_watched, cpu)) {
		cpumask_set_cpu(cpu, &watchdog_cpumask);
		lockup_detector_reconfigure();
	}
#endif
	lwk_context_tracking(cpu, false);
	cpumask_clear_cpu(cpu, tick_nohz_full_mask);
	for_each_set_bit(type, &lwk_hk_types, HK_TYPE_MAX)
		cpumask_set_cpu(cpu, lwk_hk_masks[type]);
}

/* May the hardware thread only go with its core? Writes nr_cpu_ids bits to @cpus. */
void lwk_c_cpu_siblings(int cpu, unsigned long *cpus)
{
	bitmap_copy(cpus, cpumask_bits(topology_sibling_cpumask(cpu)), nr_cpu_ids);
}

/* Without a clock that all CPUs agree on the tick has to go on. */
bool lwk_c_clock_unstable(void)
{
	return check_tsc_unstable();
}

/* The CPUs of the LWK as far as unbound work goes; under the lock of cpusets, like those that cpusets isolate. */
static cpumask_t lwk_without_unbound_work;

/**
 * lwk_exclude_unbound_work() - keep unbound work off CPUs
 * @isolated: those of isolated partitions of cpusets, which is to be followed at once
 *
 * Called with the locks of cpusets and of CPU hotplug. Those of the LWK are excluded, too.
 *
 * Return: 0, or a negative errno with nothing changed.
 */
int lwk_exclude_unbound_work(const struct cpumask *isolated)
{
	static cpumask_t both;

	cpumask_or(&both, isolated, &lwk_without_unbound_work);
	return workqueue_unbound_exclude_cpumask(&both);
}

/* Keeps unbound work off @cpus, a bitmap of nr_cpu_ids bits, and off no other CPU that the LWK ever had. */
int lwk_c_workqueues_exclude(const unsigned long *cpus)
{
	static cpumask_t before, isolated;
	int cpu, ret;

	/*
	 * A new mask takes new workers, and to fork them kthreadd waits for who moves tasks between cgroups, who waits for
	 * cpusets. That one is to wait for this lock first.
	 */
	cgroup_lock();
	cpus_read_lock();
	cpuset_lock();
	cpumask_clear(&isolated);
	for_each_possible_cpu(cpu)
		if (cpuset_cpu_is_isolated(cpu))
			cpumask_set_cpu(cpu, &isolated);
	cpumask_copy(&before, &lwk_without_unbound_work);
	bitmap_copy(cpumask_bits(&lwk_without_unbound_work), cpus, nr_cpu_ids);
	ret = lwk_exclude_unbound_work(&isolated);
	if (ret)
		cpumask_copy(&lwk_without_unbound_work, &before);
	cpuset_unlock();
	cpus_read_unlock();
	cgroup_unlock();
	return ret;
}
ALLOW_ERROR_INJECTION(lwk_c_workqueues_exclude, ERRNO);

/* What the hooks in Linux are to think of a CPU; each flag is explained in lwk.h. */
void lwk_c_set_hand(int cpu, bool owned, bool inactive, bool pinned)
{
	per_cpu(lwk_interrupted, cpu) = false;
	WRITE_ONCE(per_cpu(lwk_inactive, cpu), inactive);
	WRITE_ONCE(per_cpu(lwk_owned, cpu), owned);
	WRITE_ONCE(per_cpu(lwk_pinned, cpu), pinned);
}

void lwk_c_activate(void)
{
	static_branch_enable(&lwk_active);
}

void lwk_c_deactivate(void)
{
	lwk_c_wait_for_tasks();
	static_branch_disable(&lwk_active);
}

int lwk_c_cpu_to_node(int cpu)
{
	return cpu_to_node(cpu);
}

/*
 * Interrupts that @cpu has taken since boot, by source; Linux counts them anyway. The CPU goes on counting, as for
 * /proc/interrupts: each number is right at some time during the call.
 */
void lwk_c_irq_counts(int cpu, struct lwk_irq_counts *counts)
{
	const irq_cpustat_t *stat = &per_cpu(irq_stat, cpu);

	data_race((*counts = (struct lwk_irq_counts) {
		.all		= arch_irq_stat_cpu(cpu) + kstat_cpu_irqs_sum(cpu),
		.device		= kstat_cpu_irqs_sum(cpu),
		.timer		= stat->apic_timer_irqs,
		.spurious	= stat->irq_spurious_count,
		.pmi		= stat->apic_perf_irqs,
		.irq_work	= stat->apic_irq_work_irqs,
		.reschedule	= stat->irq_resched_count,
		/* Linux counts TLB shootdowns as calls, too. */
		.call		= stat->irq_call_count - stat->irq_tlb_count,
		.tlb		= stat->irq_tlb_count,
		.nmi		= stat->__nmi_count,
		.platform	= stat->x86_platform_ipis,
#ifdef CONFIG_X86_THERMAL_VECTOR
		.thermal	= stat->irq_thermal_count,
#endif
#ifdef CONFIG_X86_MCE_THRESHOLD
		.threshold	= stat->irq_threshold_count,
#endif
#ifdef CONFIG_X86_MCE
		.mce		= per_cpu(mce_exception_count, cpu),
		.mce_poll	= per_cpu(mce_poll_count, cpu),
#endif
	}));
}

u64 lwk_c_fault_count(int cpu)
{
	return READ_ONCE(per_cpu(vm_event_states, cpu).event[PGFAULT]);
}

u64 lwk_c_syscall_count(int cpu)
{
	return READ_ONCE(per_cpu(lwk_syscalls, cpu));
}
