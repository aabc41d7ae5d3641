// SPDX-License-Identifier: GPL-2.0
/*
 * The lwk scheduling class: the table and the inline functions of kernel/sched/ that Rust cannot call. What a method
 * decides is in rust/lwk/sched.rs. Compiled as part of kernel/sched/build_policy.c.
 *
 * All lwk_rs_* functions here are called with the run queue's lock held, lwk_rs_select with p->pi_lock only.
 */

DEFINE_STATIC_KEY_FALSE(lwk_active);

#include <linux/error-injection.h>

#include "../../lwk/c/rust.h"

static void lwk_begin_leave(struct rq *rq, struct task_struct *p, unsigned int cpu);
static void lwk_stops(struct rq *rq, struct task_struct *p);

static void enqueue_task_lwk(struct rq *rq, struct task_struct *p, int flags)
{
	/* On no queue, so that nobody picks it. */
	if (unlikely(p->lwk.leaving_to))
		return;
	lwk_rs_enqueue(rq, p, flags & ENQUEUE_HEAD);
	add_nr_running(rq, 1);
}

static bool dequeue_task_lwk(struct rq *rq, struct task_struct *p, int flags)
{
	update_curr_common(rq);
	if (unlikely(p->lwk.leaving_to))
		return true;
	lwk_rs_dequeue(rq, p);
	sub_nr_running(rq, 1);
	return true;
}

static void yield_task_lwk(struct rq *rq)
{
	/* Alone, or on no queue. */
	if (rq->lwk.nr_running < 2 || unlikely(rq->donor->lwk.leaving_to))
		return;
	lwk_rs_yield(rq, rq->donor);
}

/* First in, first out: a task that wakes waits for its turn. */
static void wakeup_preempt_lwk(struct rq *rq, struct task_struct *p, int flags)
{
}

static struct task_struct *pick_task_lwk(struct rq *rq)
{
	/* Who just left leaves nothing behind: no need to ask the classes below. */
	if (!rq->nr_running && rq->curr->lwk.leaving_to)
		return rq->idle;
	return rq->lwk.kept_for ? NULL : lwk_rs_pick(rq);
}

static void put_prev_task_lwk(struct rq *rq, struct task_struct *p, struct task_struct *next)
{
	unsigned int state = READ_ONCE(p->__state);

	update_curr_common(rq);
	if (next && p->lwk.leaving_to) {
		/* No guest takes the CPU from it, but a turn of theirs may begin. */
		if (unlikely(rq->lwk.guest_turn))
			lwk_rs_put_prev(rq, p, next);
		lwk_stops(rq, p);
		return;
	}
	lwk_rs_put_prev(rq, p, next);
	if (next && !p->on_rq)
		lwk_thread_sleeps(p, state);
}

static void set_next_task_lwk(struct rq *rq, struct task_struct *p, bool first)
{
	p->se.exec_start = rq_clock_task(rq);
	lwk_rs_set_next(rq, p, first);
}

static int select_task_rq_lwk(struct task_struct *p, int cpu, int flags)
{
	return lwk_rs_select(p, cpu);
}

/*
 * Moves @p, which @from had queued, to the LWK CPU @to, which must have nothing to run. The lock of @from may have been
 * open before, so all that the choice relied on is looked at again.
 */
static bool lwk_move(struct rq *from, struct rq *to, struct task_struct *p)
{
	if (task_rq(p) != from || !task_on_rq_queued(p) || !task_on_lwk(p) || task_on_cpu(from, p))
		return false;
	/* It is about to go somewhere else, and on no queue. */
	if (p->lwk.leaving_to)
		return false;
	if (to->lwk.nr_running || !cpumask_test_cpu(cpu_of(to), p->cpus_ptr) ||
	    !lwk_task_allowed(p, cpu_of(to)))
		return false;
	deactivate_task(from, p, 0);
	set_task_cpu(p, cpu_of(to));
	activate_task(to, p, 0);
	return true;
}

/* A woken or new task that found company goes to a CPU that fell idle, or was chosen twice, in the meantime. */
static void task_woken_lwk(struct rq *rq, struct task_struct *p)
{
	struct rq *to;
	int cpu;

	if (rq->lwk.nr_running < 2 || task_on_cpu(rq, p))
		return;
	cpu = lwk_rs_push_to(rq, p);
	if (cpu < 0)
		return;
	to = cpu_rq(cpu);
	get_task_struct(p);
	double_lock_balance(rq, to);
	if (lwk_move(rq, to, p))
		resched_curr(to);
	double_unlock_balance(rq, to);
	put_task_struct(p);
}

/* This CPU has nothing to run, so it takes a task that waits for its turn on another CPU of the job. */
static void lwk_pull(struct rq *rq, struct task_struct *prev)
{
	struct task_struct *p;
	struct rq *from;
	int cpu;

	cpu = lwk_rs_pull_from(rq, prev);
	if (cpu < 0)
		return;
	from = cpu_rq(cpu);
	double_lock_balance(rq, from);
	p = lwk_rs_pull_task(from, cpu_of(rq));
	if (p)
		lwk_move(from, rq, p);
	double_unlock_balance(rq, from);
}

static int balance_lwk(struct rq *rq, struct task_struct *prev, struct rq_flags *rf)
{
	if (unlikely(prev->lwk.how >> LWK_MOVE_TO) && task_on_lwk(prev)) {
		unsigned int cpu = (prev->lwk.how >> LWK_MOVE_TO) - 1;

		WRITE_ONCE(prev->lwk.how, prev->lwk.how & (BIT(LWK_MOVE_TO) - 1));
		lwk_begin_leave(rq, prev, cpu);
	}
	if (!rq->lwk.nr_running && task_on_lwk(prev) && lwk_owns_cpu(cpu_of(rq))) {
		/* As in balance_rt(): @prev is still on this CPU, so nobody picks it up meanwhile. */
		rq_unpin_lock(rq, rf);
		lwk_pull(rq, prev);
		rq_repin_lock(rq, rf);
	}
	return rq->lwk.nr_running || prev->lwk.leaving_to || sched_stop_runnable(rq) || sched_dl_runnable(rq) ||
	       sched_rt_runnable(rq);
}

static void task_tick_lwk(struct rq *rq, struct task_struct *p, int queued)
{
	update_curr_common(rq);
	/* The residual tick that a Linux CPU takes over only keeps the times right. */
	if (cpu_of(rq) == smp_processor_id() && (p->lwk.leaving_to || lwk_rs_tick(rq, p)))
		resched_curr(rq);
}

static void switched_to_lwk(struct rq *rq, struct task_struct *p)
{
	if (task_on_rq_queued(p) && !task_current(rq, p))
		resched_curr(rq);
}

/* Nice values do not change the order. */
static void prio_changed_lwk(struct rq *rq, struct task_struct *p, int oldprio)
{
}

static void update_curr_lwk(struct rq *rq)
{
	update_curr_common(rq);
}

DEFINE_SCHED_CLASS(lwk) = {
	.enqueue_task		= enqueue_task_lwk,
	.dequeue_task		= dequeue_task_lwk,
	.yield_task		= yield_task_lwk,
	.wakeup_preempt		= wakeup_preempt_lwk,
	.pick_task		= pick_task_lwk,
	.put_prev_task		= put_prev_task_lwk,
	.set_next_task		= set_next_task_lwk,
	.balance		= balance_lwk,
	.select_task_rq		= select_task_rq_lwk,
	.task_woken		= task_woken_lwk,
	.set_cpus_allowed	= set_cpus_allowed_common,
	.task_tick		= task_tick_lwk,
	.switched_to		= switched_to_lwk,
	.prio_changed		= prio_changed_lwk,
	.update_curr		= update_curr_lwk,
#ifdef CONFIG_UCLAMP_TASK
	.uclamp_enabled		= 1,
#endif
};

/* The guests' turn is over: the class picks its own task again. */
static enum hrtimer_restart lwk_guest_timer(struct hrtimer *timer)
{
	struct rq *rq = container_of(timer, struct rq, lwk.guest_timer);
	struct rq_flags rf;

	rq_lock(rq, &rf);
	update_rq_clock(rq);
	rq->lwk.guest_turn = false;
	/* Those who are not done wait for the tick to give them another turn. */
	if (rq->nr_running > rq->lwk.nr_running)
		tick_nohz_dep_set_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
	resched_curr(rq);
	rq_unlock(rq, &rf);

	return HRTIMER_NORESTART;
}

void __lwk_guest_waits(struct rq *rq)
{
	if (!lwk_rs_guest_waits(rq))
		return;
	/* It gets its turn now, which has a timer of its own. */
	tick_nohz_dep_clear_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
	resched_curr(rq);
}

void init_lwk_rq(struct rq *rq)
{
	INIT_LIST_HEAD(&rq->lwk.queue);
	hrtimer_init(&rq->lwk.guest_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	rq->lwk.guest_timer.function = lwk_guest_timer;
}

/* Only from the CPU of @rq, as a pinned timer goes to the CPU that starts it. */
void lwk_c_guest_timer_start(struct rq *rq, u64 ns)
{
	hrtimer_start(&rq->lwk.guest_timer, ns_to_ktime(ns), HRTIMER_MODE_REL_PINNED_HARD);
}

/* It must not interrupt the next task. If it just did, its function waits for the lock of @rq and does no harm. */
void lwk_c_guest_timer_stop(struct rq *rq)
{
	hrtimer_try_to_cancel(&rq->lwk.guest_timer);
}

s64 lwk_c_since_guest_turn(struct rq *rq)
{
	return ktime_to_ns(ktime_sub(ktime_get(), hrtimer_get_expires(&rq->lwk.guest_timer)));
}

/*
 * Gives @p, whose queue is locked and whose clock is right, another class, as __sched_setscheduler() does. @goes_to: 0, or
 * the CPU that it is to be moved to, and one more, while it is in the class.
 */
static void lwk_set_class(struct rq *rq, struct task_struct *p, const struct sched_class *class, unsigned int goes_to)
{
	const struct sched_class *prev_class = p->sched_class;
	bool queued = task_on_rq_queued(p), running = task_current(rq, p);

	if (queued)
		dequeue_task(rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
	if (running)
		put_prev_task(rq, p);
	WRITE_ONCE(p->lwk.leaving_to, goes_to);
	p->sched_class = class;
	check_class_changing(rq, p, prev_class);
	if (queued)
		enqueue_task(rq, p, ENQUEUE_RESTORE | ENQUEUE_MOVE | ENQUEUE_NOCLOCK);
	if (running)
		set_next_task(rq, p);
	check_class_changed(rq, p, prev_class, p->prio);
}

/* The class that is due to @p where it is. */
static const struct sched_class *lwk_due_class(struct task_struct *p)
{
	return lwk_sched_class_of(p, __setscheduler_class(p->policy, p->prio));
}

static void lwk_change_class(struct task_struct *p)
{
	struct balance_callback *head;
	struct rq_flags rf;
	struct rq *rq;

	rq = task_rq_lock(p, &rf);
	update_rq_clock(rq);
	lwk_set_class(rq, p, lwk_due_class(p), p->lwk.leaving_to);

	/* The old class may want to push tasks. As in __sched_setscheduler(). */
	preempt_disable();
	head = splice_balance_callbacks(rq);
	task_rq_unlock(rq, p, &rf);
	balance_callbacks(rq, head);
	preempt_enable();
}

/* p->pi_lock makes the job visible to whoever decides about the task's CPUs. */
static void lwk_set_job(struct task_struct *p, struct lwk_job *job)
{
	guard(raw_spinlock_irqsave)(&p->pi_lock);
	p->lwk.left = false;
	WRITE_ONCE(p->lwk.job, job);
}

/**
 * lwk_c_task_enter() - move the calling task to a job's CPUs and into the class
 * @job: the job, of which the task takes over one reference and one share
 *
 * Return: 0, or a negative errno with nothing changed; EPERM for a deadline task.
 */
int lwk_c_task_enter(struct lwk_job *job)
{
	struct affinity_context ac = {
		.new_mask = &job->cpus,
		.flags = SCA_USER,
	};
	int ret;

	/* The domain of the CPUs that it leaves gave it bandwidth, and must have that back first. */
	if (dl_policy(current->policy))
		return -EPERM;
	/* It gets that a while after a change of policy, within one period. */
	while (hrtimer_active(&current->dl.inactive_timer)) {
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			return -EINTR;
	}

	/* Ownership of the copy goes to the task, of its old mask to us. */
	ac.user_mask = kmemdup(&job->cpus, cpumask_size(), GFP_KERNEL);
	if (!ac.user_mask)
		return -ENOMEM;

	/* Cpusets have no say from here on; one that asked before is not to change what we set. */
	cpuset_lock();
	lwk_set_job(current, job);
	ret = __set_cpus_allowed_ptr(current, &ac);
	if (ret)
		lwk_set_job(current, NULL);
	cpuset_unlock();
	kfree(ac.user_mask);
	if (ret)
		return ret;
	lwk_change_class(current);
	return 0;
}

/* Sets the runtime without asking for bandwidth. */
static void lwk_fair_server_set_runtime(struct rq *rq, u64 runtime_ns)
{
	struct sched_dl_entity *server = &rq->fair_server;
	unsigned long bw = to_ratio(server->dl_period, runtime_ns);

	dl_rq_change_utilization(rq, server, bw);
	server->dl_runtime = runtime_ns;
	server->dl_bw = bw;
	server->dl_density = bw;
	server->runtime = 0;
	server->deadline = 0;
}

/*
 * Gives back the bandwidth that the server has of its domain. Linux may count less than that: it forgets the servers of a
 * domain that another one's change leaves as it is, and would take the rest for an overflow.
 */
static void lwk_fair_server_release(struct rq *rq)
{
	struct dl_bw *dl_b = dl_bw_of(cpu_of(rq));

	guard(raw_spinlock)(&dl_b->lock);
	__dl_sub(dl_b, min(dl_b->total_bw, rq->fair_server.dl_bw), dl_bw_cpus(cpu_of(rq)));
}

/* Sets the fair server of @cpu: no runtime turns it off. Off line it gets its bandwidth when it joins a domain. */
int lwk_c_fair_server_set(int cpu, u64 runtime_ns)
{
	struct rq *rq = cpu_rq(cpu);
	int ret = 0;

	guard(rq_lock_irqsave)(rq);
	update_rq_clock(rq);
	if (!rq->fair_server.dl_server)
		return 0;
	/* Stopped twice it would give its bandwidth back twice. */
	if (rq->fair_server.dl_server_active)
		dl_server_stop(&rq->fair_server);
	if (runtime_ns && cpu_active(cpu)) {
		ret = dl_server_apply_params(&rq->fair_server, runtime_ns, rq->fair_server.dl_period, 0);
	} else {
		if (cpu_active(cpu))
			lwk_fair_server_release(rq);
		lwk_fair_server_set_runtime(rq, runtime_ns);
	}
	if (rq->cfs.h_nr_queued)
		dl_server_start(&rq->fair_server);
	return ret;
}
ALLOW_ERROR_INJECTION(lwk_c_fair_server_set, ERRNO);

u64 lwk_c_fair_server_get(int cpu)
{
	return READ_ONCE(cpu_rq(cpu)->fair_server.dl_runtime);
}

/* The idle task of a CPU that gets context tracking must be accounted from here on, as sched_init() would do. */
void lwk_c_vtime_init_idle(int cpu)
{
	vtime_init_idle(cpu_rq(cpu)->idle, cpu);
}

/* Do deadline tasks count on the CPU, apart from the fair servers that look like some? */
bool lwk_c_deadline_tasks(int cpu)
{
	struct root_domain *rd;
	u64 total, servers = 0;
	int i;

	rcu_read_lock_sched();
	rd = cpu_rq(cpu)->rd;
	/* Without their locks: the answer may be old at once. */
	total = data_race(READ_ONCE(rd->dl_bw.total_bw));
	for_each_cpu_and(i, rd->span, cpu_active_mask)
		servers += data_race(READ_ONCE(cpu_rq(i)->fair_server.dl_bw));
	rcu_read_unlock_sched();
	return total > servers;
}

/* What runs on the CPU that wants something of this one; with interrupts off, so that the task stays. */
void lwk_c_peek_sender(struct lwk_entry *entry, int cpu)
{
	struct task_struct *p;

	entry->sender_cpu = entry->sender_tid = entry->sender_pid = ~0;
	memset(entry->sender_comm, 0, sizeof(entry->sender_comm));
	if (cpu < 0 || cpu >= nr_cpu_ids)
		return;
	entry->sender_cpu = cpu;
	rcu_read_lock();
	p = rcu_dereference(cpu_curr(cpu));
	/* It may change its name or become the leader of its process meanwhile: for a report only. */
	entry->sender_tid = data_race(p->pid);
	entry->sender_pid = data_race(p->tgid);
	data_race(memcpy(entry->sender_comm, p->comm, sizeof(entry->sender_comm) - 1));
	rcu_read_unlock();
}

#include "../../lwk/c/move.c"
