// SPDX-License-Identifier: GPL-2.0
/*
 * The lwk scheduling class: the table and the inline functions of kernel/sched/ that Rust cannot call. What a method
 * decides is in rust/lwk/sched.rs. Compiled as part of kernel/sched/build_policy.c.
 *
 * All lwk_rs_* functions here are called with the run queue's lock held, lwk_rs_select with p->pi_lock only.
 */

DEFINE_STATIC_KEY_FALSE(lwk_active);

#include <linux/error-injection.h>
#include <linux/ratelimit.h>
#include <linux/vmalloc.h>

#include "../../lwk/c/rust.h"

static void lwk_begin_leave(struct rq *rq, struct task_struct *p, unsigned int cpu);
static void lwk_stops(struct rq *rq, struct task_struct *p, struct task_struct *next);
static void lwk_fetch(int home);

/* Added to the load of a CPU where threads of jobs get no turn. */
#define LWK_BEHIND_ALL	(1 << 20)

/* Tasks of the class in their lives, the dying ones among them: as long as there are some it must not be skipped. */
static atomic_t lwk_nr_tasks;

/* Another class may run here where a task is handed over, and keeps its own account. As in update_curr_rt(). */
static void update_curr_lwk(struct rq *rq)
{
	if (task_on_lwk(rq->curr))
		update_curr_common(rq);
}

#ifdef CONFIG_POSIX_TIMERS
/* How long @p may run without a sleep as RLIMIT_RTTIME says, or all ones. In whole ticks, as Linux counts them. */
static u64 lwk_rt_limit(struct task_struct *p)
{
	unsigned long soft;
	u64 ticks;

	if (!rt_prio(p->prio))
		return U64_MAX;
	soft = task_rlimit(p, RLIMIT_RTTIME);
	if (likely(soft == RLIM_INFINITY))
		return U64_MAX;
	ticks = DIV_ROUND_UP(min(soft, task_rlimit_max(p, RLIMIT_RTTIME)), USEC_PER_SEC / HZ);
	return min(ticks, (u64)U32_MAX) * TICK_NSEC;
}

static void lwk_rt_begin(struct task_struct *p)
{
	/* check_rlimits() of posix-cpu-timers.c looks without the lock, as it does for rt.c. */
	data_race(p->rt.timeout = 0);
	p->rt.watchdog_stamp = p->se.sum_exec_runtime;
}

/*
 * Has the limit of @p, which runs here, looked at when it is due: by a timer that only those have who have a limit, so
 * that nobody else is disturbed, and they no more than they ask for. Only the CPU itself can start it.
 */
static void lwk_rt_watch(struct rq *rq, struct task_struct *p)
{
	u64 limit = lwk_rt_limit(p), used, wait;

	if (likely(limit == U64_MAX))
		return;
	if (cpu_of(rq) != smp_processor_id()) {
		if (tick_nohz_full_cpu(cpu_of(rq)))
			tick_nohz_dep_set_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
		return;
	}
	used = p->se.sum_exec_runtime - p->rt.watchdog_stamp;
	/* Beyond the soft limit there is a signal each second, until the hard one. */
	wait = used < limit ? limit - used : TICK_NSEC;
	hrtimer_start(&rq->lwk.rt_timer, ns_to_ktime(max_t(u64, wait, 100 * NSEC_PER_USEC)),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static enum hrtimer_restart lwk_rt_timer(struct hrtimer *timer)
{
	struct rq *rq = container_of(timer, struct rq, lwk.rt_timer);
	struct task_struct *p = current;
	bool is_over = false;
	struct rq_flags rf;
	u64 limit, used;

	rq_lock(rq, &rf);
	update_rq_clock(rq);
	limit = lwk_rt_limit(p);
	if (task_on_lwk(p) && limit != U64_MAX) {
		update_curr_lwk(rq);
		used = p->se.sum_exec_runtime - p->rt.watchdog_stamp;
		data_race(p->rt.timeout = used / TICK_NSEC);
		is_over = used >= limit;
		/* As watchdog() of rt.c; run_posix_cpu_timers() sends the signals. */
		if (is_over)
			posix_cputimers_rt_watchdog(&p->posix_cputimers, p->se.sum_exec_runtime);
		lwk_rt_watch(rq, p);
	}
	rq_unlock(rq, &rf);
	if (is_over)
		run_posix_cpu_timers();

	return HRTIMER_NORESTART;
}
#else
static u64 lwk_rt_limit(struct task_struct *p) { return U64_MAX; }
static void lwk_rt_begin(struct task_struct *p) { }
static void lwk_rt_watch(struct rq *rq, struct task_struct *p) { }
static enum hrtimer_restart lwk_rt_timer(struct hrtimer *timer) { return HRTIMER_NORESTART; }
#endif

static void enqueue_task_lwk(struct rq *rq, struct task_struct *p, int flags)
{
	/* A change that is none for the order leaves it where it was. */
	bool head = flags & ENQUEUE_HEAD || (flags & (ENQUEUE_RESTORE | ENQUEUE_MOVE)) == ENQUEUE_RESTORE;

	if (flags & ENQUEUE_WAKEUP && rt_prio(p->prio))
		lwk_rt_begin(p);
	/* On no queue, so that nobody picks it. Its class cannot change meanwhile: lwk_hand_over() will find it. */
	if (unlikely(p->lwk.leaving_to))
		return;
	/* Since when it waits; update_curr_lwk() says so for one that ran. */
	if (!(flags & ENQUEUE_RESTORE))
		p->se.exec_start = rq_clock_task(rq);
	lwk_rs_enqueue(rq, p, head);
	add_nr_running(rq, 1);
	/* The governor knows of the other classes only; see effective_cpu_util(). */
	if (rq->lwk.nr_running == 1)
		cpufreq_update_util(rq, 0);
}

static bool dequeue_task_lwk(struct rq *rq, struct task_struct *p, int flags)
{
	update_curr_lwk(rq);
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

/* First in, first out: a task that wakes waits for its turn, unless its rank is higher. */
static void wakeup_preempt_lwk(struct rq *rq, struct task_struct *p, int flags)
{
	if (lwk_rs_preempts(rq, rq->curr, p, false))
		resched_curr(rq);
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

	update_curr_lwk(rq);
	if (unlikely(hrtimer_is_queued(&rq->lwk.rt_timer)))
		hrtimer_try_to_cancel(&rq->lwk.rt_timer);
	if (unlikely(rq->lwk.starved) && cpu_of(rq) == smp_processor_id())
		lwk_rs_tell_waited(rq);
	if (next && p->lwk.leaving_to) {
		/* No guest takes the CPU from it, but a turn of theirs may begin. */
		if (unlikely(rq->lwk.guest_turn))
			lwk_rs_put_prev(rq, p, next);
		lwk_stops(rq, p, next);
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
	if (unlikely(rt_prio(p->prio)))
		lwk_rt_watch(rq, p);
}

static int select_task_rq_lwk(struct task_struct *p, int cpu, int flags)
{
	return lwk_rs_select(p, cpu);
}

/*
 * Moves @p, which @from had queued, to the LWK CPU @to, which must have nothing to run that goes before it. The lock of
 * @from may have been open before, so all that the choice relied on is looked at again.
 */
static bool lwk_move(struct rq *from, struct rq *to, struct task_struct *p)
{
	if (task_rq(p) != from || !task_on_rq_queued(p) || !task_on_lwk(p) || task_on_cpu(from, p))
		return false;
	/* It is about to go somewhere else, and on no queue. */
	if (p->lwk.leaving_to)
		return false;
	if (!cpumask_test_cpu(cpu_of(to), p->cpus_ptr) || !lwk_task_allowed(p, cpu_of(to)))
		return false;
	if (to->lwk.nr_running && !lwk_rs_outranks(to, p))
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

/*
 * This CPU has nothing to run, or nothing with a real-time priority, so it takes a task that waits for its turn on another
 * CPU of the job.
 */
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
		/* It may have been brought to where it was about to go. */
		if (cpu != cpu_of(rq))
			lwk_begin_leave(rq, prev, cpu);
	}
	if ((!rq->lwk.nr_running || rt_prio(prev->prio)) && !rq->lwk.kept_for && task_on_lwk(prev) &&
	    lwk_owns_cpu(cpu_of(rq))) {
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
	update_curr_lwk(rq);
	/* The limit may be new. */
	if (unlikely(rt_prio(p->prio)) && !hrtimer_is_queued(&rq->lwk.rt_timer))
		lwk_rt_watch(rq, p);
	/* The residual tick that a Linux CPU takes over only keeps the times right. */
	if (cpu_of(rq) != smp_processor_id())
		return;
	if (p->lwk.leaving_to || lwk_rs_tick(rq, p))
		resched_curr(rq);
	/* That of lwk_rt_watch(). */
	if (tick_nohz_full_cpu(cpu_of(rq)) && sched_can_stop_tick(rq))
		tick_nohz_dep_clear_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
}

static void switched_to_lwk(struct rq *rq, struct task_struct *p)
{
	if (task_on_rq_queued(p) && !task_current(rq, p))
		resched_curr(rq);
}

/* Nice values do not change the order, real-time priorities do. */
static void prio_changed_lwk(struct rq *rq, struct task_struct *p, int oldprio)
{
	if (!rt_prio(p->prio) && !rt_prio(oldprio))
		return;
	if (!rt_prio(oldprio))
		lwk_rt_begin(p);
	if (!task_on_rq_queued(p) || p->lwk.leaving_to)
		return;
	if (task_current(rq, p)) {
		lwk_rt_watch(rq, p);
		if (lwk_rs_is_behind(rq, p))
			resched_curr(rq);
	} else if (task_on_lwk(rq->curr) ? lwk_rs_preempts(rq, rq->curr, p, false) : is_idle_task(rq->curr)) {
		resched_curr(rq);
	}
}

static unsigned int get_rr_interval_lwk(struct rq *rq, struct task_struct *p)
{
	return NS_TO_JIFFIES(lwk_rs_turn(p));
}

/* It will never run again. */
static void task_dead_lwk(struct task_struct *p)
{
	atomic_dec(&lwk_nr_tasks);
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
	.get_rr_interval	= get_rr_interval_lwk,
	.task_dead		= task_dead_lwk,
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
	if (rq->nr_running - rq->cfs.h_nr_delayed > rq->lwk.nr_running)
		tick_nohz_dep_set_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
	resched_curr(rq);
	rq_unlock(rq, &rf);

	return HRTIMER_NORESTART;
}

void __lwk_guest_waits(struct rq *rq)
{
	if (!lwk_rs_guest_waits(rq)) {
		/* One that slept in its queue is new to nobody but us. */
		if (tick_nohz_full_cpu(cpu_of(rq)))
			tick_nohz_dep_set_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
		return;
	}
	/* It gets its turn now, which has a timer of its own. */
	tick_nohz_dep_clear_cpu(cpu_of(rq), TICK_DEP_BIT_SCHED);
	resched_curr(rq);
}

void init_lwk_rq(struct rq *rq)
{
	INIT_LIST_HEAD(&rq->lwk.queue);
	hrtimer_init(&rq->lwk.guest_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	rq->lwk.guest_timer.function = lwk_guest_timer;
	hrtimer_init(&rq->lwk.rt_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	rq->lwk.rt_timer.function = lwk_rt_timer;
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

/* The log says what was refused to the calling task. A run queue's lock may be held. */
void lwk_tell_refused(const char *what)
{
	static struct ratelimit_state told =
		RATELIMIT_STATE_INIT_FLAGS(told, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST,
					   RATELIMIT_MSG_ON_RELEASE);

	if (__ratelimit(&told))
		printk_deferred(KERN_INFO "lwk: %s (%d) asked for %s\n", current->comm, current->pid, what);
}

/* The guest with this number if it waits for the CPU of @rq, which is locked, else the first that does, or NULL. */
struct task_struct *lwk_c_waiting_guest(struct rq *rq, u32 tid)
{
	struct task_struct *p, *first = NULL;

	list_for_each_entry(p, &rq->cfs_tasks, se.group_node) {
		if (p == rq->curr || p->se.sched_delayed)
			continue;
		if (p->pid == tid)
			return p;
		first = first ?: p;
	}
	return first;
}

/*
 * A CPU of Linux looks after an LWK CPU, once a second. Nobody waits there for long, unless something that is to see to
 * that fails: then it is told who waits, and the CPU is interrupted; as it is once if it waits idle for a task that does
 * not come back, to wait on as any idle CPU.
 */
void __lwk_look(struct rq *rq)
{
	struct lwk_waited waited;
	bool found = false;

	scoped_guard(rq_lock_irq, rq) {
		if (!cpu_online(cpu_of(rq)))
			return;
		update_rq_clock(rq);
		found = lwk_rs_look(rq, rq->curr, &waited);
		if (found || (is_idle_task(rq->curr) && lwk_rs_doze(rq)))
			resched_curr(rq);
	}
	lwk_fetch(cpu_of(rq));
	lwk_gather_vm_stats(cpu_of(rq));
	if (found)
		pr_warn_ratelimited("lwk: CPU %d: %s (%u) waited for %llu ms behind %s (%u); room was made for it\n",
				    cpu_of(rq), waited.who.comm, waited.who.tid,
				    div_u64(waited.waited_ns, NSEC_PER_MSEC), waited.behind.comm,
				    waited.behind.tid);
}

/* Brings the calling task, which joined or left a job, into its class; as __sched_setscheduler() does. */
static void lwk_change_class(struct task_struct *p)
{
	const struct sched_class *prev_class, *class;
	struct balance_callback *head;
	struct rq_flags rf;
	struct rq *rq;

	rq = task_rq_lock(p, &rf);
	update_rq_clock(rq);
	prev_class = p->sched_class;
	class = lwk_sched_class_of(p, __setscheduler_class(p->policy, p->prio));
	/* It is the same if others have changed its policy meanwhile. */
	if (prev_class != class) {
		dequeue_task(rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
		put_prev_task(rq, p);
		p->sched_class = class;
		check_class_changing(rq, p, prev_class);
		enqueue_task(rq, p, ENQUEUE_RESTORE | ENQUEUE_MOVE | ENQUEUE_NOCLOCK);
		set_next_task(rq, p);
		check_class_changed(rq, p, prev_class, p->prio);
	}

	/* The old class may want to push tasks. */
	preempt_disable();
	head = splice_balance_callbacks(rq);
	task_rq_unlock(rq, p, &rf);
	balance_callbacks(rq, head);
	preempt_enable();
}

/*
 * p->pi_lock makes the job visible to whoever decides about the task's CPUs, its class, its policy, its priority and its
 * cookie of core scheduling: from here on they know.
 */
static int lwk_join_job(struct task_struct *p, struct lwk_job *job)
{
	guard(raw_spinlock_irqsave)(&p->pi_lock);
	/* The domain of the CPUs that it leaves gave it bandwidth, or who waits for it has some. */
	if (dl_policy(p->policy) || dl_prio(p->prio))
		return -EPERM;
#ifdef CONFIG_SCHED_CORE
	if (p->core_cookie)
		return -EPERM;
#endif
	/* It gives that back a while after a change of policy, within one period. */
	if (hrtimer_active(&p->dl.inactive_timer))
		return -EAGAIN;
	WRITE_ONCE(p->lwk.left, false);
	WRITE_ONCE(p->lwk.job, job);
	return 0;
}

/* The reverse, of a task that did not get to its CPUs. */
static void lwk_leave_job(struct task_struct *p)
{
	scoped_guard(raw_spinlock_irqsave, &p->pi_lock)
		WRITE_ONCE(p->lwk.job, NULL);
	lwk_change_class(p);
	atomic_dec(&lwk_nr_tasks);
}

/**
 * lwk_c_task_enter() - move the calling task to a job's CPUs and into the class
 * @job: the job, of which the task takes over one reference and one share
 *
 * Return: 0, or a negative errno with nothing changed; EPERM for a deadline task, for one that such a task waits for, and
 * for one with a cookie of core scheduling.
 */
int lwk_c_task_enter(struct lwk_job *job)
{
	struct affinity_context ac = {
		.new_mask = &job->cpus,
		.flags = SCA_USER,
	};
	int ret;

	/* Ownership of the copy goes to the task, of its old mask to us. */
	ac.user_mask = kmemdup(&job->cpus, cpumask_size(), GFP_KERNEL);
	if (!ac.user_mask)
		return -ENOMEM;

	for (;;) {
		/* Cpusets have no say from here on; one that asked before is not to change what we set. */
		cpuset_lock();
		ret = lwk_join_job(current, job);
		if (!ret) {
			atomic_inc(&lwk_nr_tasks);
			ret = __set_cpus_allowed_ptr(current, &ac);
			if (ret)
				lwk_leave_job(current);
		}
		cpuset_unlock();
		if (ret != -EAGAIN)
			break;
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
	}
	kfree(ac.user_mask);
	if (ret) {
		/* Those who found the job without a lock are done with it. */
		synchronize_rcu();
		return ret;
	}
	lwk_change_class(current);
	return 0;
}

/* Waits until tasks that left their jobs, and only have to end, have ended: without the class nobody would run them. */
void lwk_c_wait_for_tasks(void)
{
	while (atomic_read(&lwk_nr_tasks))
		schedule_timeout_uninterruptible(1);
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
