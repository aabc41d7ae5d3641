// SPDX-License-Identifier: GPL-2.0
/* Boot parameter, initcalls, and small things about tasks that Rust cannot reach. */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/init.h>
#include <linux/lwk.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched/task.h>
#include <linux/sched/signal.h>
#include <linux/uidgid.h>

#include <xen/xen.h>

#include "rust.h"

bool lwk_armed __ro_after_init;

/* Who has which CPU and which memory: held for moments, as jobs begin and end under it. */
static DEFINE_MUTEX(lwk_mutex);
/* Changes of partitions: held as long as Linux takes to give memory away and to take a CPU down. */
static DEFINE_MUTEX(lwk_change_mutex);

static struct mutex *lwk_lock(u32 which)
{
	return which == LWK_LOCK_CHANGE ? &lwk_change_mutex : &lwk_mutex;
}

void lwk_c_lock(u32 which)
{
	mutex_lock(lwk_lock(which));
}

int lwk_c_lock_killable(u32 which)
{
	return mutex_lock_killable(lwk_lock(which));
}

bool lwk_c_try_lock(u32 which)
{
	return mutex_trylock(lwk_lock(which));
}

void lwk_c_unlock(u32 which)
{
	mutex_unlock(lwk_lock(which));
}

static int __init lwk_setup(char *text)
{
	/* A CPU that flushes its TLB by itself (defer.c) needs instructions that the hypervisor keeps to itself there. */
	if (xen_pv_domain()) {
		pr_err("lwk: this is a paravirtual guest of Xen, where there are no partitions: lwkcpus= is ignored; boot it as PVH or HVM\n");
		return 1;
	}
	lwk_armed = true;
	lwk_rs_boot_line(text);
	return 1;
}
__setup("lwkcpus=", lwk_setup);

static int __init lwk_memory_setup(char *text)
{
	lwk_rs_boot_memory(text);
	return 1;
}
__setup("lwkmem=", lwk_memory_setup);

static int __init lwk_init(void)
{
	return lwk_rs_init();
}
device_initcall(lwk_init);

/* Late, so that all CPUs, their devices and cpusets are there. */
static int __init lwk_boot_partition(void)
{
	int ret = lwk_armed ? lwk_c_cpu_init() : 0;

	if (WARN_ON(ret))
		return ret;
	lwk_rs_boot_partition();
	return 0;
}
late_initcall(lwk_boot_partition);

/*
 * May the caller change class, CPUs and memory alone? Another process can have its memory, too, without being a thread of
 * it. A child of vfork() has but borrowed its own, which lwk_c_mm_enter() leaves as it is.
 */
bool lwk_c_single_threaded(void)
{
	return get_nr_threads(current) == 1 && (current->vfork_done || current_is_single_threaded());
}

bool lwk_c_may_admin(void)
{
	return capable(CAP_SYS_ADMIN);
}

/* May the caller see what threads of other users do? */
bool lwk_c_may_watch(void)
{
	return perfmon_capable();
}

u32 lwk_c_current_uid(void)
{
	return from_kuid(&init_user_ns, current_uid());
}

/* A user id of the initial user namespace as the caller's numbers it. */
u32 lwk_c_uid_here(u32 uid)
{
	return from_kuid_munged(current_user_ns(), make_kuid(&init_user_ns, uid));
}

struct pid *lwk_c_get_pid(void)
{
	return get_pid(task_tgid(current));
}

u32 lwk_c_pid_nr(struct pid *pid)
{
	return pid_vnr(pid);
}

/* @nr of the initial pid namespace as the caller's numbers it, or 0 if there is no such task any more, or not for the caller. */
u32 lwk_c_pid_here(u32 nr)
{
	guard(rcu)();
	return pid_vnr(find_pid_ns(nr, &init_pid_ns));
}

/* Does the caller know all tasks of the machine? */
bool lwk_c_sees_all_pids(void)
{
	return task_active_pid_ns(current) == &init_pid_ns;
}

/* The number of a thread, which does not end meanwhile, or 0 if it is not for the caller to look at. */
u32 lwk_c_thread_nr(struct task_struct *task)
{
	return ptrace_may_access(task, PTRACE_MODE_READ_FSCREDS) ? task_pid_vnr(task) : 0;
}

/*
 * The name of the process, as of now; empty once it is gone, and if the caller knows no such process. @comm holds
 * TASK_COMM_LEN bytes.
 */
void lwk_c_pid_comm(struct pid *pid, char *comm)
{
	struct task_struct *task = pid_vnr(pid) ? get_pid_task(pid, PIDTYPE_TGID) : NULL;

	*comm = '\0';
	if (!task)
		return;
	__get_task_comm(comm, TASK_COMM_LEN, task);
	put_task_struct(task);
}

struct task_struct *lwk_c_current_task(void)
{
	return current;
}
