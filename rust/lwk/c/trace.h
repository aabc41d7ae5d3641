/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM lwk

#if !defined(_TRACE_LWK_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LWK_H

#include <linux/tracepoint.h>

#include "rust.h"

#define lwk_irq_sources							\
	{ 0, "device" }, { 1, "LOC" }, { 2, "SPU" }, { 3, "PMI" },	\
	{ 4, "IWI" }, { 5, "RES" }, { 6, "CAL" }, { 7, "TLB" },		\
	{ 8, "TRM" }, { 9, "THR" }, { 10, "NMI" }, { 11, "MCE" },	\
	{ 12, "MCP" }, { 13, "PLT" }, { 14, "other" }

/* A CPU that was interrupted in a thread of a job is about to return to it. */
TRACE_EVENT(lwk_noise,

	TP_PROTO(const struct lwk_disturbance *noise),

	TP_ARGS(noise),

	TP_STRUCT__entry(
		__field(u64,	time_ns)
		__field(u64,	duration_ns)
		__field(u64,	guest_ns)
		__field(void *,	function)
		__field(void *,	guest_function)
		__field(u32,	cause)
		__field(u32,	nr_irqs)
		__field(u32,	flags)
		__field(u32,	nr_calls)
		__field(int,	irq)
		__field(int,	sender_cpu)
		__field(int,	sender_tid)
		__field(int,	victim_tid)
		__field(int,	guest_tid)
		__array(char,	sender_comm,	TASK_COMM_LEN)
		__array(char,	guest_comm,	TASK_COMM_LEN)
	),

	TP_fast_assign(
		__entry->time_ns = noise->time_ns;
		__entry->duration_ns = noise->duration_ns;
		__entry->guest_ns = noise->guest_ns;
		__entry->function = (void *)(unsigned long)noise->address;
		__entry->guest_function = (void *)(unsigned long)noise->guest_address;
		__entry->cause = noise->cause;
		__entry->nr_irqs = noise->nr_irqs;
		__entry->flags = noise->flags;
		__entry->nr_calls = noise->nr_calls;
		__entry->irq = noise->irq;
		__entry->sender_cpu = noise->sender_cpu;
		__entry->sender_tid = noise->sender_tid;
		__entry->victim_tid = noise->victim_tid;
		__entry->guest_tid = noise->guest_tid;
		memcpy(__entry->sender_comm, noise->sender_comm, TASK_COMM_LEN);
		memcpy(__entry->guest_comm, noise->guest_comm, TASK_COMM_LEN);
	),

	TP_printk("cause=%s nr_irqs=%u at=%llu duration=%llu function=%ps nr_calls=%u irq=%d flags=%#x sender_cpu=%d sender_tid=%d sender_comm=%s victim_tid=%d guest_tid=%d guest_comm=%s guest_function=%ps guest_ns=%llu",
		__print_symbolic(__entry->cause, lwk_irq_sources),
		__entry->nr_irqs, __entry->time_ns, __entry->duration_ns,
		__entry->function, __entry->nr_calls, __entry->irq, __entry->flags,
		__entry->sender_cpu, __entry->sender_tid, __entry->sender_comm,
		__entry->victim_tid, __entry->guest_tid, __entry->guest_comm,
		__entry->guest_function, __entry->guest_ns)
);

/* A thread of a job goes to a CPU of Linux for a system call, or comes home from there. */
TRACE_EVENT(lwk_move,

	TP_PROTO(int call, unsigned int from, unsigned int to),

	TP_ARGS(call, from, to),

	TP_STRUCT__entry(
		__field(int,		call)
		__field(unsigned int,	from)
		__field(unsigned int,	to)
	),

	TP_fast_assign(
		__entry->call = call;
		__entry->from = from;
		__entry->to = to;
	),

	TP_printk("call=%d from=%u to=%u", __entry->call, __entry->from, __entry->to)
);

#endif /* _TRACE_LWK_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
