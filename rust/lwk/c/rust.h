/* SPDX-License-Identifier: GPL-2.0 */
/* The doors between the C shim and Rust; bindgen reads this file, so that both sides check every signature. */
#ifndef _LWK_RUST_H
#define _LWK_RUST_H

#include <linux/hrtimer_types.h>
#include <linux/lwk.h>
#include <linux/smp.h>
#include <linux/types.h>

struct rq;

/**
 * struct lwk_thread - what a task of a job has for its system calls from the first one on that is counted
 * @node: link in the job's list
 * @timer: ends a stay on a CPU of Linux that lasts too long
 * @take: has a CPU of Linux take the task over
 * @task: the task, which frees this when it exits
 * @turn: while it is away what is left of its turn at home
 * @turn_goes_on: this is the rq clock at the turn's end instead, as the place at home is kept
 *
 * Always embedded at the start of the Rust type ``thread::Thread``.
 */
struct lwk_thread {
	struct list_head node;
	struct hrtimer timer;
	struct __call_single_data take;
	struct task_struct *task;
	u64 turn;
	bool turn_goes_on;
};

/* Interrupts of one CPU by source; @all counts also those that have no field here. */
struct lwk_irq_counts {
	u64 all, device, timer, spurious, pmi, irq_work, reschedule, call, tlb;
	u64 thermal, threshold, nmi, mce, mce_poll, platform;
};

/**
 * struct lwk_entry - what was seen as a CPU left user mode, not for a system call
 * @time_ns: when it was
 * @irqs: interrupts of any kind when the counters were last looked at
 * @faults: page faults
 * @call: function that another CPU wants called, or 0
 * @work: function of the irq_work that this CPU left itself, or 0
 * @timer: function of the timer that is due, or 0
 * @call_kind: an enum lwk_ran_kind
 * @nr_calls: calls that wait
 * @flags: LWK_NOISE_* of the thread
 * @sender_cpu: who wants @call called, all ones if not known
 * @sender_tid: what runs there
 * @sender_pid: its process
 * @victim_tid: the thread that is interrupted
 * @victim_pid: its process
 * @sender_comm: command name of @sender_tid
 */
struct lwk_entry {
	u64 time_ns, irqs, faults, call, work, timer;
	u32 call_kind, nr_calls, flags;
	u32 sender_cpu, sender_tid, sender_pid;
	u32 victim_tid, victim_pid;
	u8 sender_comm[16];
};

/* A record of the log; struct lwk_noise_record of the ABI says what the fields mean. @owner: the user who made the job. */
struct lwk_disturbance {
	u64 time_ns, duration_ns, guest_ns, address, guest_address;
	u32 cause, sources, nr_irqs, flags, ran, nr_calls, irq;
	u32 sender_cpu, sender_tid, sender_pid;
	u32 victim_tid, victim_pid, guest_tid, owner;
	u8 sender_comm[16], guest_comm[16];
};

struct lwk_name {
	u32 tid, pid;
	u8 comm[16];
};

/**
 * struct lwk_waited - somebody waited for a CPU for too long
 * @now_ns: when this was found
 * @waited_ns: how long it had waited
 * @who: who it is
 * @behind: who had the CPU
 */
struct lwk_waited {
	u64 now_ns, waited_ns;
	struct lwk_name who, behind;
};

/**
 * struct lwk_node - what a node has for the LWK, in pages
 * @first: first frame of the zone
 * @end: frame after its last
 * @managed: pages that Linux has there
 * @spare: how many it could do without
 */
struct lwk_node {
	u64 first, end, managed, spare;
};

/* The cost of a pageblock that cannot be had. */
#define LWK_NEVER	0xffff

/* Rust called by C (entry.rs, entry/). */
void lwk_rs_enqueue(struct rq *rq, struct task_struct *p, bool head);
void lwk_rs_dequeue(struct rq *rq, struct task_struct *p);
void lwk_rs_yield(struct rq *rq, struct task_struct *p);
struct task_struct *lwk_rs_pick(struct rq *rq);
void lwk_rs_put_prev(struct rq *rq, struct task_struct *p, struct task_struct *next);
void lwk_rs_set_next(struct rq *rq, struct task_struct *p, bool first);
int lwk_rs_select(struct task_struct *p, int cpu);
int lwk_rs_push_to(struct rq *rq, struct task_struct *p);
int lwk_rs_pull_from(struct rq *rq, struct task_struct *prev);
struct task_struct *lwk_rs_pull_task(struct rq *from, int cpu);
bool lwk_rs_tick(struct rq *rq, struct task_struct *p);
bool lwk_rs_guest_waits(struct rq *rq);
bool lwk_rs_preempts(struct rq *rq, struct task_struct *running, struct task_struct *p,
		     bool head);
bool lwk_rs_is_behind(struct rq *rq, struct task_struct *p);
bool lwk_rs_outranks(struct rq *to, struct task_struct *p);
u64 lwk_rs_turn(struct task_struct *p);
bool lwk_rs_look(struct rq *rq, struct task_struct *curr, struct lwk_waited *waited);
void lwk_rs_tell_waited(struct rq *rq);
bool lwk_rs_doze(struct rq *rq);
bool lwk_rs_is_stranded(struct rq *rq, struct task_struct *p);

void lwk_rs_set_load(struct rq *rq);
int lwk_rs_select_away(struct task_struct *p);
void lwk_rs_fork(struct task_struct *p);

long lwk_rs_syscall(struct task_struct *p, long nr, struct pt_regs *regs);
void lwk_rs_exit_to_user(struct task_struct *p, u64 ip);
void lwk_rs_file_fault(struct task_struct *p);
bool lwk_rs_watches(struct lwk_job *job);

void lwk_rs_irqs_meanwhile(u32 cpu, const struct lwk_entry *entry);
bool lwk_rs_user_enter(u32 cpu, const struct lwk_entry *entry, u64 irqs, u64 faults);
void lwk_rs_thread_sleeps(u32 cpu, const struct lwk_entry *entry, bool stops, u64 irqs, u64 faults);

/* What is to be done after pages came home. */
#define LWK_NEXT_SETTLE		1
#define LWK_NEXT_ZERO		2
u32 lwk_rs_free(u32 nid, u64 pfn, u32 order);
bool lwk_rs_zero_block(void);
bool lwk_rs_retire(u32 nid, u64 pfn);
bool lwk_rs_retire_free(u32 nid, u64 pfn);
void lwk_rs_settle(void);
/* With the number of the first frame: all of them hold zeroes. */
#define LWK_PAGE_ZEROED		0x4000000000000000
/* With the number of a region: the policy of the job is not for this address space. */
#define LWK_PLAIN		8
u64 lwk_rs_allocate(struct lwk_job *job, u32 region, u32 order, u64 address, u32 nid, u64 nodes,
		    bool chosen);
void lwk_rs_spilled(struct lwk_job *job, u64 pages);
bool lwk_rs_populates(struct lwk_job *job, u32 region, u64 bytes);
bool lwk_rs_has_large(struct lwk_job *job, u32 region, u64 bytes);
bool lwk_rs_aligns(struct lwk_job *job, u32 region, u64 bytes);
bool lwk_rs_is_large(struct lwk_job *job, u32 region);
bool lwk_rs_permits(struct lwk_job *job, u64 bytes);
bool lwk_rs_keeps(struct lwk_job *job);
u64 lwk_rs_heap_step(struct lwk_job *job);
bool lwk_rs_has_room(struct lwk_job *job, u64 bytes);
u64 lwk_rs_promised(struct lwk_job *job);
u64 lwk_rs_left(struct lwk_job *job);
bool lwk_rs_owns(struct lwk_job *job, u32 nid, u64 pfn);
u64 lwk_rs_pool_pages(u32 nid, bool free);
bool lwk_rs_job_has_memory(struct lwk_job *job);
void lwk_rs_job_get(struct lwk_job *job);
void lwk_rs_job_put(struct lwk_job *job);

void lwk_rs_boot_line(const char *text);
void lwk_rs_boot_memory(const char *text);
int lwk_rs_init(void);
void lwk_rs_boot_partition(void);

/* C called by Rust. */
void lwk_c_guest_timer_start(struct rq *rq, u64 ns);
void lwk_c_guest_timer_stop(struct rq *rq);
s64 lwk_c_since_guest_turn(struct rq *rq);
struct task_struct *lwk_c_waiting_guest(struct rq *rq, u32 tid);
int lwk_c_task_enter(struct lwk_job *job);
void lwk_c_wait_for_tasks(void);
/* The place at home is kept, and the CPU there does not halt. */
#define LWK_MOVE_KEEP		0x1
#define LWK_MOVE_POLL		0x2
/* From this bit on the CPU that a task of the class wants to be taken to, and one more, until it stops running. */
#define LWK_MOVE_TO		8
bool lwk_c_move(unsigned int cpu, unsigned int how);
void lwk_c_release_place(struct task_struct *p);
struct lwk_thread *lwk_c_thread_new(size_t size);
void lwk_c_thread_free(struct lwk_thread *thread);
void lwk_c_thread_timer_start(struct lwk_thread *thread, u64 ns);
void lwk_c_thread_timer_stop(struct lwk_thread *thread);
int lwk_c_service_load(int cpu);
bool lwk_c_alone(void);
void lwk_c_watch_calls(struct lwk_job *job, bool watch);
void lwk_c_watch_self(void);
void lwk_c_set_exit_work(void);
void lwk_c_job_init(struct lwk_job *job);
void lwk_c_threads_lock(struct lwk_job *job);
void lwk_c_threads_unlock(struct lwk_job *job);
void *lwk_c_zalloc(size_t size);
void lwk_c_free(void *memory);
void lwk_c_trace_move(u32 call, u32 from, u32 to);
int lwk_c_fair_server_set(int cpu, u64 runtime_ns);
u64 lwk_c_fair_server_get(int cpu);
void lwk_c_vtime_init_idle(int cpu);

#define LWK_LOCK_STATE		0
#define LWK_LOCK_CHANGE		1
void lwk_c_lock(u32 which);
int lwk_c_lock_killable(u32 which);
bool lwk_c_try_lock(u32 which);
void lwk_c_unlock(u32 which);
bool lwk_c_cpu_keeps_time(int cpu);
bool lwk_c_cpu_isolated(int cpu);
void lwk_c_hotplug_lock(void);
void lwk_c_hotplug_unlock(void);
int lwk_c_cpu_offline(int cpu);
int lwk_c_cpu_online(int cpu);
void lwk_c_cpu_isolate(int cpu);
void lwk_c_cpu_unisolate(int cpu);
void lwk_c_cpu_siblings(int cpu, unsigned long *cpus);
bool lwk_c_clock_unstable(void);
int lwk_c_irqs_leave(int cpu);
void lwk_c_irqs_return(int cpu);
bool lwk_c_deadline_tasks(int cpu);
bool lwk_c_may_admin(void);
bool lwk_c_may_watch(void);
int lwk_c_workqueues_exclude(const unsigned long *cpus);
void lwk_c_set_hand(int cpu, bool owned, bool inactive, bool pinned);
void lwk_c_set_shares_core(int cpu, bool shares);
int lwk_c_cpu_init(void);
void lwk_c_activate(void);
void lwk_c_deactivate(void);
void lwk_c_irq_counts(int cpu, struct lwk_irq_counts *counts);
u64 lwk_c_fault_count(int cpu);
u64 lwk_c_caught_up(int cpu);
u64 lwk_c_syscall_count(int cpu);
void lwk_c_peek_sender(struct lwk_entry *entry, int cpu);
u64 lwk_c_entered_ns(void);
u64 lwk_c_now_ns(void);
u64 lwk_c_guest_work(void);
u32 lwk_c_moved_irq(int cpu);
void *lwk_c_noise_room(int cpu, size_t size);
void lwk_c_symbol(u64 address, char *name, size_t size);
u64 lwk_c_irq_action(u32 irq, char *name, size_t size);
void lwk_c_trace_noise(const struct lwk_disturbance *noise);
bool lwk_c_single_threaded(void);
struct task_struct *lwk_c_current_task(void);
u32 lwk_c_current_uid(void);
u32 lwk_c_uid_here(u32 uid);
u32 lwk_c_pid_here(u32 nr);
bool lwk_c_sees_all_pids(void);
u32 lwk_c_thread_nr(struct task_struct *task);
u32 lwk_c_pid_nr(struct pid *pid);
void lwk_c_pid_comm(struct pid *pid, char *comm);
struct pid *lwk_c_get_pid(void);
int lwk_c_cpu_to_node(int cpu);

unsigned long lwk_c_pool_lock(u32 nid);
void lwk_c_pool_unlock(u32 nid, unsigned long flags);
bool lwk_c_node(u32 nid, struct lwk_node *node);
u16 lwk_c_block_cost(u32 nid, unsigned long pfn);
void lwk_c_settle_pages(void);
int lwk_c_claim(unsigned long pfn, unsigned long nr_blocks);
void lwk_c_send_home(unsigned long pfn, unsigned long nr_blocks);
void lwk_c_give_back(unsigned long pfn);
void lwk_c_memory_changed(u32 nid);
void lwk_c_memory_activate(bool on);
void lwk_c_settle_wake(void);
void lwk_c_zeroing_wake(void);
void lwk_c_zero(unsigned long pfn);
void lwk_c_may_yield(void);
int lwk_c_node_distance(u32 from, u32 to);
void lwk_c_mm_enter(struct lwk_job *job);

#endif /* _LWK_RUST_H */
