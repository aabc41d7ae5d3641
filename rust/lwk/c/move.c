// SPDX-License-Identifier: GPL-2.0
/*
 * How a task of a job goes to a CPU of Linux for a system call, and home again. Compiled as part of
 * kernel/sched/build_policy.c, after sched.c. Whether and where it goes is in rust/lwk/syscall.rs.
 *
 *   lwk_begin_leave()      the running task leaves its queue, so that nobody picks it again
 *   put_prev_task_lwk()    it stops running
 *   lwk_take()             on its way out, the CPU of Linux takes it over
 *   lwk_leave()            on its way home, the CPU of Linux hands it over
 *   lwk_c_move()           ... and it goes on there
 *
 * It stays runnable all the time, so that no wake-up can be lost and no signal or ptrace(2) sees anything but a task
 * that waits for its turn. Neither a stopper thread nor an interrupt for a third CPU is needed: only the other CPU may
 * get one, if it does other things. The task's affinity stays as it is; p->cpus_ptr is the CPU of Linux meanwhile, as it
 * is the present one's for a task that has migration disabled.
 */

static DEFINE_PER_CPU(struct balance_callback, lwk_leave_head);

/*
 * Notes the turn of @p at @home, as that on the CPU of Linux is another one. It stands still until @p is back, but goes on
 * as long as its place is kept, when nobody else can use the time.
 */
static void lwk_note_turn(struct rq *home, struct task_struct *p, u64 end)
{
	struct lwk_thread *thread = p->lwk.thread;

	if (!thread)
		return;
	thread->turn_goes_on = home->lwk.kept_for == p;
	thread->turn = thread->turn_goes_on ? end : max_t(s64, end - rq_clock(home), 0);
}

/* The turn of @p, which is back at @home, goes on. Is anything left of it? */
static bool lwk_resume_turn(struct rq *home, struct task_struct *p)
{
	struct lwk_thread *thread = p->lwk.thread;

	if (!thread)
		return false;
	p->lwk.slice_end = thread->turn + (thread->turn_goes_on ? 0 : rq_clock(home));
	return p->lwk.slice_end > rq_clock(home);
}

/* @p goes away from @home, and leaves its place as it wants to find it. */
static void lwk_leave_place(struct rq *home, struct task_struct *p)
{
	/* It did not get away the last time, and was not told so yet. */
	if (p->lwk.counts)
		return;
	WRITE_ONCE(p->lwk.home, cpu_of(home));
	p->lwk.counts = true;
	WRITE_ONCE(home->lwk.nr_away, home->lwk.nr_away + 1);
	WRITE_ONCE(home->lwk.dozes, false);
	if (p->lwk.how & LWK_MOVE_POLL)
		WRITE_ONCE(home->lwk.nr_polls, home->lwk.nr_polls + 1);
	/* Who waits gets the CPU when its turn is over, as if it had stayed. */
	if (p->lwk.how & LWK_MOVE_KEEP &&
	    (home->lwk.nr_running < 2 || rq_clock(home) < p->lwk.slice_end)) {
		home->lwk.kept_for = p;
		lwk_rs_set_load(home);
	}
	lwk_note_turn(home, p, p->lwk.slice_end);
}

/* Its place is not kept for it any more. */
static void lwk_open_place(struct rq *home, struct task_struct *p)
{
	if (home->lwk.kept_for != p)
		return;
	home->lwk.kept_for = NULL;
	lwk_rs_set_load(home);
	if (home->lwk.nr_running)
		resched_curr(home);
}

/* The reverse of lwk_leave_place(). */
static void lwk_forget_place(struct rq *home, struct task_struct *p)
{
	if (!p->lwk.counts)
		return;
	p->lwk.counts = false;
	WRITE_ONCE(home->lwk.nr_away, home->lwk.nr_away - 1);
	if (p->lwk.how & LWK_MOVE_POLL)
		WRITE_ONCE(home->lwk.nr_polls, home->lwk.nr_polls - 1);
	lwk_open_place(home, p);
}

/* What was chosen for the CPUs of a core before does not count any more. */
static void lwk_note_change(struct rq *rq)
{
#ifdef CONFIG_SCHED_CORE
	if (sched_core_enabled(rq))
		rq->core->core_task_seq++;
#endif
}

/* Back to its queue. */
static void lwk_stay(struct rq *rq, struct task_struct *p)
{
	lwk_note_change(rq);
	WRITE_ONCE(p->lwk.leaving_to, 0);
	p->se.exec_start = rq_clock_task(rq);
	lwk_rs_enqueue(rq, p, false);
	add_nr_running(rq, 1);
	/* Else it would wait for itself. */
	if (!p->lwk.away && p->lwk.home == cpu_of(rq))
		lwk_forget_place(rq, p);
	resched_curr(rq);
}

/*
 * A task is to be moved, the running one as soon as it does not run any more. From here on it is on no queue, so that nobody
 * picks it, until lwk_arrive() or lwk_stay(). Its class is ours all the time, so that whoever takes it out of its queue
 * and puts it back meanwhile (another policy, priority, group, affinity) comes by here and finds @leaving_to; and somebody
 * is always to come for it: itself while it runs, then lwk_take() or lwk_leave(), or lwk_fetch_one() that took it out.
 */
static void lwk_begin_leave(struct rq *rq, struct task_struct *p, unsigned int cpu)
{
	lwk_note_change(rq);
	/* Before the next task is picked. */
	if (!p->lwk.away)
		lwk_leave_place(rq, p);
	lwk_rs_dequeue(rq, p);
	/* One task does not want the tick, and none does not. */
	if (rq->nr_running == 1)
		/* Whoever looks without the lock, as idle_cpu(), may see the old one. */
		data_race(rq->nr_running = 0);
	else
		sub_nr_running(rq, 1);
	WRITE_ONCE(p->lwk.leaving_to, cpu + 1);
}

/* @p is between two CPUs, the locks of whose queues are held. */
static void lwk_arrive(struct rq *from, struct rq *to, struct task_struct *p)
{
	bool away = !lwk_owns_cpu(cpu_of(to));
	int flags = ENQUEUE_NOCLOCK;

	deactivate_task(from, p, 0);
	set_task_cpu(p, cpu_of(to));
	WRITE_ONCE(p->lwk.leaving_to, 0);
	/* As for migrate_disable_switch(): nobody looks at these without a lock that we hold while the task is runnable. */
	p->lwk.away = away;
	WRITE_ONCE(p->cpus_ptr, away ? cpumask_of(cpu_of(to)) : &p->cpus_mask);
	/* Other classes look at that of a task that runs, to guess whether it can make room. */
	data_race(p->nr_cpus_allowed = away ? 1 : cpumask_weight(&p->cpus_mask));
	update_rq_clock(to);
	/* When its turn is over others are first: two that go and come would else starve them. */
	if (!away && lwk_resume_turn(to, p))
		flags |= ENQUEUE_HEAD;
	activate_task(to, p, flags);
	wakeup_preempt(to, p, 0);
	/* Who got the CPU meanwhile gives it back in the middle of the turn. */
	if (flags & ENQUEUE_HEAD && task_on_lwk(to->curr) && lwk_rs_preempts(to, to->curr, p, true))
		resched_curr(to);
	/* Only now, as a CPU that polls for it would halt before it is told. */
	if (!away && p->lwk.home == cpu_of(to))
		lwk_forget_place(to, p);
}

/* May @p still go there? Meanwhile the CPU may have changed hands, or @p its affinity. */
static bool lwk_may_arrive(struct task_struct *p, int cpu)
{
	return cpu_active(cpu) || (lwk_owns_cpu(cpu) && cpumask_test_cpu(cpu, &p->cpus_mask) &&
				   cpumask_test_cpu(cpu, lwk_task_cpus(p)));
}

/*
 * Hands over @p, which was to leave and does not run any more, wherever it waits: a change of its affinity may move it, as
 * any task that waits for its turn, and then it is on no CPU for a moment. The other CPU may be going off line.
 */
static void lwk_hand_over(struct rq *to, struct task_struct *p)
{
	struct balance_callback *of_from, *of_to;
	struct rq *from;

again:
	from = task_rq(p);
	if (from == to)
		return;
	double_rq_lock(from, to);
	if (task_rq(p) != from || task_on_rq_migrating(p)) {
		double_rq_unlock(from, to);
		cpu_relax();
		goto again;
	}
	/* Else it is there already, or it stayed and runs. */
	if (p->lwk.leaving_to == cpu_of(to) + 1 && !WARN_ON_ONCE(!task_on_rq_queued(p)) &&
	    !task_on_cpu(from, p)) {
		if (lwk_may_arrive(p, cpu_of(to))) {
			lwk_arrive(from, to, p);
		} else {
			update_rq_clock(from);
			lwk_stay(from, p);
		}
	}
	of_from = splice_balance_callbacks(from);
	of_to = splice_balance_callbacks(to);
	double_rq_unlock(from, to);
	balance_callbacks(from, of_from);
	balance_callbacks(to, of_to);
}

/* After the switch from the task that leaves this CPU. */
static void lwk_leave(struct rq *rq)
{
	struct task_struct *p = rq->lwk.leaving;
	unsigned int leaving_to;
	struct rq *to;

	rq->lwk.leaving = NULL;
	/* It may wait on another queue meanwhile, whose lock is not held here; lwk_hand_over() looks again. */
	leaving_to = p ? READ_ONCE(p->lwk.leaving_to) : 0;
	if (!leaving_to)
		return;
	to = cpu_rq(leaving_to - 1);
	get_task_struct(p);
	raw_spin_rq_unlock(rq);
	lwk_hand_over(to, p);
	if (unlikely(READ_ONCE(to->lwk.nr_running) > 1)) {
		/* As for one that woke up there. */
		raw_spin_rq_lock(to);
		if (task_rq(p) == to && task_on_rq_queued(p) && !p->lwk.leaving_to)
			task_woken_lwk(to, p);
		raw_spin_rq_unlock(to);
	}
	raw_spin_rq_lock(rq);
	put_task_struct(p);
}

/* On the CPU of Linux that takes over a task. The other one has switched to the next when it lets its lock go. */
static void lwk_take(void *info)
{
	lwk_hand_over(this_rq(), info);
}

/*
 * As smp_call_function_single_async() with interrupts off. False if the CPU is off line, or did not come to taking the
 * task over the last time before that stayed.
 */
static bool lwk_send(int cpu, call_single_data_t *take)
{
	if (unlikely(!cpu_online(cpu) || READ_ONCE(take->node.u_flags) & CSD_FLAG_LOCK))
		return false;
	take->node.u_flags = CSD_FLAG_LOCK | CSD_TYPE_ASYNC;
	smp_wmb();
	__smp_call_single_queue(cpu, &take->node.llist);
	return true;
}

/*
 * @p, which is to leave, stops running, and another task is going to run. The CPU of Linux does the work in either
 * direction: it takes over who comes, and hands over who goes.
 */
static void lwk_stops(struct rq *rq, struct task_struct *p, struct task_struct *next)
{
	/* Its alignment is only about cache lines; bindgen would not see it. */
	call_single_data_t *take = p->lwk.thread ? (call_single_data_t *)&p->lwk.thread->take : NULL;

	/* Whatever began with this task on this CPU does not end with it. */
	if (unlikely(__this_cpu_read(lwk_interrupted)))
		lwk_thread_sleeps(p, TASK_UNINTERRUPTIBLE);
	if (!p->lwk.away && take && lwk_send(p->lwk.leaving_to - 1, take))
		return;
	/* A CPU that goes off line takes no more callbacks, but sends away whom it would run. */
	if (unlikely(rq->balance_callback == &balance_push_callback)) {
		lwk_stay(rq, p);
		set_tsk_need_resched(next);
		return;
	}
	rq->lwk.leaving = p;
	queue_balance_callback(rq, this_cpu_ptr(&lwk_leave_head), lwk_leave);
}

/**
 * lwk_c_move() - take the calling task to another CPU
 * @cpu: a CPU of its job, or an active one of Linux
 * @how: LWK_MOVE_*
 *
 * Return: whether it is there. If not it is where it was; the caller looks where that is and decides anew.
 */
bool lwk_c_move(unsigned int cpu, unsigned int how)
{
	struct task_struct *p = current;
	struct balance_callback *head;
	struct rq_flags rf;
	struct rq *rq;

	/* What it does belongs to this CPU, or it is about to sleep: a page fault may come anywhere. */
	if (unlikely(is_migration_disabled(p) || READ_ONCE(p->__state) != TASK_RUNNING))
		return false;

	if (likely(!p->lwk.away)) {
		/* It leaves in balance_lwk(), where the lock is held anyway. */
		WRITE_ONCE(p->lwk.how, how | (cpu + 1) << LWK_MOVE_TO);
		goto schedule;
	}

	/* Two tasks that come home to each other's places must not wait for each other. */
	if (p->lwk.counts && cpu != p->lwk.home)
		lwk_c_release_place(p);

	rq = this_rq_lock_irq(&rf);
	/* A CPU off line pushes its tasks itself. */
	if (unlikely(rq->balance_callback == &balance_push_callback)) {
		rq_unlock_irq(rq, &rf);
		schedule();
		return false;
	}
	/* lwk_fetch() was quicker. */
	if (unlikely(!p->lwk.away)) {
		rq_unlock_irq(rq, &rf);
		return task_cpu(p) == cpu;
	}
	update_rq_clock(rq);
	lwk_begin_leave(rq, p, cpu);
	head = splice_balance_callbacks(rq);
	/* Until they are carried out nothing else must run here. */
	preempt_disable();
	rq_unlock_irq(rq, &rf);
	balance_callbacks(rq, head);
	preempt_enable_no_resched();

schedule:
	schedule();

	/* On its way to user mode it has to look where it is. */
	if (p->lwk.away)
		set_thread_flag(TIF_LWK);
	if (unlikely(p->lwk.leaving_to || p->lwk.how >> LWK_MOVE_TO)) {
		rq = task_rq_lock(p, &rf);
		update_rq_clock(rq);
		WRITE_ONCE(p->lwk.how, p->lwk.how & (BIT(LWK_MOVE_TO) - 1));
		if (p->lwk.leaving_to)
			lwk_stay(rq, p);
		preempt_disable();
		head = splice_balance_callbacks(rq);
		task_rq_unlock(rq, p, &rf);
		balance_callbacks(rq, head);
		preempt_enable();
	}
	if (unlikely(p->lwk.counts && !p->lwk.away))
		lwk_c_release_place(p);
	return task_cpu(p) == cpu;
}

/* @p does not come back to its place at home. */
void lwk_c_release_place(struct task_struct *p)
{
	struct rq *home = cpu_rq(p->lwk.home);

	guard(rq_lock_irqsave)(home);
	update_rq_clock(home);
	lwk_forget_place(home, p);
	/* It may wait for nobody now. */
	if (is_idle_task(home->curr))
		resched_curr(home);
}

static enum hrtimer_restart lwk_thread_timer(struct hrtimer *timer)
{
	struct lwk_thread *thread = container_of(timer, struct lwk_thread, timer);
	struct task_struct *p = thread->task;

	/*
	 * The thread may be on its way meanwhile, home or away again: whether the place is kept for it the lock says, and to
	 * open it too early costs it a wait.
	 */
	if (READ_ONCE(p->lwk.how) & LWK_MOVE_KEEP) {
		struct rq *home = cpu_rq(READ_ONCE(p->lwk.home));

		guard(rq_lock_irqsave)(home);
		update_rq_clock(home);
		if (home->lwk.kept_for == p) {
			lwk_open_place(home, p);
			lwk_note_turn(home, p, thread->turn);
		}
	}
	/* It looks on its way to user mode what it has to do; now, if it is there. */
	set_tsk_thread_flag(p, TIF_LWK);
	kick_process(p);
	return HRTIMER_NORESTART;
}

/* Allocates what the calling task needs for its calls: @size bytes, that of the Rust type. */
struct lwk_thread *lwk_c_thread_new(size_t size)
{
	struct lwk_thread *thread = kvzalloc(size, GFP_KERNEL_ACCOUNT);

	if (!thread)
		return NULL;
	hrtimer_init(&thread->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	thread->timer.function = lwk_thread_timer;
	INIT_CSD(&thread->take, lwk_take, current);
	thread->task = current;
	scoped_guard(mutex, &current->lwk.job->threads_lock)
		list_add_tail(&thread->node, &current->lwk.job->threads);
	current->lwk.thread = thread;
	return thread;
}
ALLOW_ERROR_INJECTION(lwk_c_thread_new, NULL);

/* The reverse, when the calling task exits; with the lock of the job's list held. */
void lwk_c_thread_free(struct lwk_thread *thread)
{
	hrtimer_cancel(&thread->timer);
	/* It may be on its way to a CPU for nothing; lwk_take() then looks at the task, which RCU keeps as long as that. */
	smp_cond_load_acquire(&thread->take.node.u_flags, !(VAL & CSD_FLAG_LOCK));
	list_del(&thread->node);
	current->lwk.thread = NULL;
	kvfree(thread);
}

void lwk_c_thread_timer_start(struct lwk_thread *thread, u64 ns)
{
	hrtimer_start(&thread->timer, ns_to_ktime(ns), HRTIMER_MODE_REL_PINNED_HARD);
}

void lwk_c_thread_timer_stop(struct lwk_thread *thread)
{
	hrtimer_cancel(&thread->timer);
}

/*
 * A new task exists from here on, and joins its parent's job; @p is a copy of a task that may be away. One that never
 * comes to user mode, as io_uring has them, works on CPUs of Linux all its life.
 */
void __lwk_fork(struct task_struct *p)
{
	bool worker = p->flags & PF_USER_WORKER;

	p->lwk.thread = NULL;
	p->lwk.leaving_to = 0;
	p->lwk.how = 0;
	if (worker && !p->lwk.away)
		p->lwk.home = raw_smp_processor_id();
	p->lwk.away = worker;
	p->lwk.counts = false;
	p->cpus_ptr = &p->cpus_mask;
	p->nr_cpus_allowed = cpumask_weight(&p->cpus_mask);
	clear_tsk_thread_flag(p, TIF_LWK);
	p->sched_class = &lwk_sched_class;
	p->rt.watchdog_stamp = 0;
	atomic_inc(&lwk_nr_tasks);
	lwk_rs_fork(p);
}

/* It comes to nothing. */
void __lwk_cancel_fork(struct task_struct *p)
{
	lwk_rs_exit(p);
	lwk_rs_free_task(p);
	atomic_dec(&lwk_nr_tasks);
}

void lwk_c_set_exit_work(void)
{
	set_thread_flag(TIF_LWK);
}

/*
 * Without the tick, whose way into and out of idleness costs more than most calls; interrupts meanwhile see to timers, as
 * for a task that runs without it.
 */
bool __lwk_idle_waits(void)
{
	struct lwk_rq *own = &this_rq()->lwk;

	return READ_ONCE(own->nr_away) && !READ_ONCE(own->dozes) && tick_nohz_tick_stopped();
}

bool __lwk_idle_polls(void)
{
	struct lwk_rq *own = &this_rq()->lwk;

	return READ_ONCE(own->nr_polls) && !READ_ONCE(own->dozes);
}

/* The CPU of Linux for @p, which wakes up or whose CPU goes off line; p->pi_lock is held and @p does not run. */
int lwk_select_away(struct task_struct *p)
{
	int cpu = task_cpu(p);

	if (is_migration_disabled(p))
		return cpu;
	cpu = lwk_rs_select_away(p);
	p->cpus_ptr = cpumask_of(cpu);
	return cpu;
}

void lwk_c_job_init(struct lwk_job *job)
{
	INIT_LIST_HEAD(&job->threads);
	mutex_init(&job->threads_lock);
}

void lwk_c_threads_lock(struct lwk_job *job)
{
	mutex_lock(&job->threads_lock);
}

void lwk_c_threads_unlock(struct lwk_job *job)
{
	mutex_unlock(&job->threads_lock);
}

void *lwk_c_zalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

void lwk_c_free(void *memory)
{
	/* The last reference to a job may go with preemption off, where the scheduler drops an address space. */
	if (is_vmalloc_addr(memory))
		vfree_atomic(memory);
	else
		kfree(memory);
}

/* How many tasks of Linux want @cpu, or -1 if it takes none. Those that a thread would have to wait for come last. */
int lwk_c_service_load(int cpu)
{
	struct rq *rq = cpu_rq(cpu);
	int load = READ_ONCE(rq->nr_running);

	if (!cpu_active(cpu))
		return -1;
	if (load && (READ_ONCE(rq->rt.rt_nr_running) || READ_ONCE(rq->dl.dl_nr_running)))
		load += LWK_BEHIND_ALL;
	return load;
}

/* A thread of @home that waits too long on the CPU of @rq, which is locked; workers of io_uring are there for good. */
static struct task_struct *lwk_stranded(struct rq *rq, int home)
{
	struct task_struct *p;

	list_for_each_entry(p, &rq->lwk.queue, lwk.node) {
		if (p->lwk.away && p->lwk.home == home && !(p->flags & PF_USER_WORKER) &&
		    !is_migration_disabled(p) && lwk_rs_is_stranded(rq, p))
			return p;
	}
	return NULL;
}

/* Brings one of them home. False if there is none. */
static bool lwk_fetch_one(struct rq *rq, int home)
{
	char behind[TASK_COMM_LEN];
	struct task_struct *p;
	pid_t behind_tid;

	guard(irq)();
	scoped_guard(rq_lock, rq) {
		update_rq_clock(rq);
		p = lwk_stranded(rq, home);
		if (!p)
			return false;
		/* It may change its name meanwhile: for a report only. */
		data_race(memcpy(behind, rq->curr->comm, sizeof(behind)));
		behind_tid = rq->curr->pid;
		lwk_begin_leave(rq, p, home);
		get_task_struct(p);
	}
	lwk_hand_over(cpu_rq(home), p);
	if (task_cpu(p) == home)
		pr_warn_ratelimited("lwk: CPU %d: %s (%d) waited for its call behind %.*s (%d); it is carried out at home\n",
				    cpu_of(rq), p->comm, p->pid, TASK_COMM_LEN - 1, behind, behind_tid);
	put_task_struct(p);
	return true;
}

/*
 * Brings home the threads that are away and do not get to run where they are: behind tasks of the classes above, from which
 * the fair server saves the fair class only, and which nobody balances with those of other CPUs. One for which that fails
 * is looked at again in a second.
 */
static void lwk_fetch(int home)
{
	unsigned int nr;
	int cpu;

	for_each_cpu(cpu, cpu_active_mask) {
		struct rq *rq = cpu_rq(cpu);

		nr = READ_ONCE(rq->lwk.nr_running);
		while (nr-- && lwk_fetch_one(rq, home))
			;
	}
}

/* Does this CPU run nothing but the calling task? That may change at once, as may the CPU. */
bool lwk_c_alone(void)
{
	return READ_ONCE(cpu_rq(raw_smp_processor_id())->nr_running) == 1;
}

/* Has @p, one of several, to look at each of its calls? */
static void lwk_watch(struct task_struct *p, bool watch)
{
	if (watch)
		set_task_syscall_work(p, LWK);
	else
		clear_task_syscall_work(p, LWK);
}

/* All tasks of @job are to look at each of their calls, or none. New ones ask lwk_rs_watches() when they can be found. */
void lwk_c_watch_calls(struct lwk_job *job, bool watch)
{
	struct task_struct *g, *p;

	/* Either a new task is found below or lwk_rs_watches() sees the change, as for uclamp_sync_util_min_rt_default(). */
	read_lock(&tasklist_lock);
	smp_mb__after_spinlock();
	read_unlock(&tasklist_lock);

	rcu_read_lock();
	for_each_process_thread(g, p) {
		if (READ_ONCE(p->lwk.job) == job)
			lwk_watch(p, watch);
	}
	rcu_read_unlock();
}

/* The new task can be found by everybody. */
void __lwk_post_fork(struct task_struct *p)
{
	lwk_watch(p, lwk_rs_watches(p->lwk.job));
}

/* The calling task is in its job. */
void lwk_c_watch_self(void)
{
	lwk_watch(current, lwk_rs_watches(current->lwk.job));
}

long lwk_syscall_enter(struct pt_regs *regs, long nr)
{
	struct task_struct *p = current;

	/* The numbers of 32-bit programs are others. */
	if (unlikely(nr < 0 || in_ia32_syscall() || !p->lwk.job))
		return nr;
	return lwk_rs_syscall(p, nr, regs);
}

void lwk_exit_to_user(void)
{
	clear_thread_flag(TIF_LWK);
	lwk_rs_exit_to_user(current, instruction_pointer(task_pt_regs(current)));
}

/* The calling task is about to read a page of a file that it touched. */
void __lwk_file_fault(void)
{
	/* BPF programs, among others, touch memory of the process where they must stay on this CPU; see lwk_c_move(), too. */
	if (test_task_syscall_work(current, LWK) && !in_ia32_syscall() && !irqs_disabled() &&
	    !preempt_count() && !rcu_preempt_depth())
		lwk_rs_file_fault(current);
}
