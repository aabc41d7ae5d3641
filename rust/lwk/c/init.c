// SPDX-License-Identifier: GPL-2.0
/* Boot parameter, initcalls, and small things about tasks that Rust cannot reach. */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/init.h>
#include <linux/lwk.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched/task.h>
#include <linux/sched/signal.h>
#include <linux/uidgid.h>

#include "rust.h"

bool lwk_armed __ro_after_init;

/* Guards all that changes rarely: partitions, reservations, hotplug of LWK CPUs. */
static DEFINE_MUTEX(lwk_mutex);

void lwk_c_lock(void)
{
	mutex_lock(&lwk_mutex);
}

void lwk_c_unlock(void)
{
	mutex_unlock(&lwk_mutex);
}

static int __init lwk_setup(char *text)
{
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
	lwk_rs_boot_partition();
	return 0;
}
late_initcall(lwk_boot_partition);

/* May the caller change class and CPUs alone? */
bool lwk_c_single_threaded(void)
{
	return get_nr_threads(current) == 1;
}

bool lwk_c_may_admin(void)
{
	return capable(CAP_SYS_ADMIN);
}

u32 lwk_c_current_uid(void)
{
	return from_kuid(&init_user_ns, current_uid());
}

struct pid *lwk_c_get_pid(void)
{
	return get_pid(task_tgid(current));
}

u32 lwk_c_pid_nr(struct pid *pid)
{
	return pid_vnr(pid);
}

/* The name of the process, as of now; empty once it is gone. @comm holds TASK_COMM_LEN bytes. */
void lwk_c_pid_comm(struct pid *pid, char *comm)
{
	struct task_struct *task = get_pid_task(pid, PIDTYPE_TGID);

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
