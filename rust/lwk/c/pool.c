// SPDX-License-Identifier: GPL-2.0
/* Memory between Linux and the pools of the LWK: what can be had, taking it, giving it back, the way home, zeroing ahead. */
#include <linux/error-injection.h>
#include <linux/gfp.h>
#include <linux/lwk.h>
#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/page-isolation.h>
#include <linux/pagemap.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "rust.h"

DEFINE_STATIC_KEY_FALSE(lwk_memory);

/* Innermost of all locks, taken with interrupts off: pages come home from anywhere. */
static spinlock_t lwk_pool_lock[MAX_NUMNODES] = {
	[0 ... MAX_NUMNODES - 1] = __SPIN_LOCK_UNLOCKED(lwk_pool_lock),
};

unsigned long lwk_c_pool_lock(u32 nid)
{
	unsigned long flags;

	spin_lock_irqsave(&lwk_pool_lock[nid], flags);
	return flags;
}

void lwk_c_pool_unlock(u32 nid, unsigned long flags)
{
	spin_unlock_irqrestore(&lwk_pool_lock[nid], flags);
}

/* What pools have is in whole pageblocks of this size. */
#define LWK_BLOCK_ORDER	9
#define LWK_BLOCK_PAGES	(1UL << LWK_BLOCK_ORDER)

/* Can the LWK have memory of this zone? Pages that move must not be pinned for long, and others need what is low. */
static bool lwk_zone_serves(struct zone *zone)
{
	pg_data_t *pgdat = zone->zone_pgdat;

	switch (zone_idx(zone)) {
	case ZONE_NORMAL:
		return true;
#ifdef CONFIG_ZONE_DMA32
	case ZONE_DMA32:
		return !managed_zone(&pgdat->node_zones[ZONE_NORMAL]);
#endif
	default:
		return false;
	}
}

static struct zone *lwk_zone(u32 nid)
{
	struct zone *zone;

	for (zone = NODE_DATA(nid)->node_zones; zone - NODE_DATA(nid)->node_zones < MAX_NR_ZONES; zone++)
		/* Memory that comes just now is there when somebody asks again. */
		if (data_race(populated_zone(zone)) && lwk_zone_serves(zone))
			return zone;
	return NULL;
}

/**
 * lwk_c_node() - what a node has for the LWK
 * @nid: the node
 * @node: filled
 *
 * Return: false if it has nothing
 */
bool lwk_c_node(u32 nid, struct lwk_node *node)
{
	unsigned long free, cache, keep;
	struct zone *zone;
	unsigned int seq;

	if (!node_online(nid))
		return false;
	zone = lwk_zone(nid);
	if (!zone)
		return false;
	do {
		seq = zone_span_seqbegin(zone);
		node->first = zone->zone_start_pfn;
		node->end = zone_end_pfn(zone);
	} while (zone_span_seqretry(zone, seq));
	node->managed = zone_managed_pages(zone);
	free = zone_page_state(zone, NR_FREE_PAGES);
	cache = zone_page_state(zone, NR_ZONE_INACTIVE_FILE) + zone_page_state(zone, NR_ZONE_ACTIVE_FILE);
	/* Linux must go on: it keeps what it needs at least, and a thirty-second of what it has. */
	keep = high_wmark_pages(zone) + node->managed / 32;
	node->spare = free + cache / 2;
	node->spare = node->spare > keep ? node->spare - keep : 0;
	/* What devices with short addresses need is not ours alone. */
	if (zone_idx(zone) != ZONE_NORMAL)
		node->spare = min(node->spare, node->managed / 2);
	return true;
}

/* How many pages of a free buddy at @pfn are left, or 0; looks without the zone's lock, so that the answer may be old. */
static unsigned long lwk_buddy_pages(unsigned long pfn)
{
	unsigned long head = pfn, order;

	if (!PageBuddy(pfn_to_page(pfn))) {
		/* The second half of a larger one. */
		head = ALIGN_DOWN(pfn, MAX_ORDER_NR_PAGES);
		if (head == pfn || !PageBuddy(pfn_to_page(head)))
			return 0;
	}
	order = buddy_order_unsafe(pfn_to_page(head));
	if (order > MAX_PAGE_ORDER || head + (1UL << order) <= pfn)
		return 0;
	return head + (1UL << order) - pfn;
}

/**
 * lwk_c_block_cost() - what it takes to get a pageblock
 * @nid: a node that lwk_c_node() knows
 * @pfn: first frame of the block
 *
 * Return: how many pages have to be moved, or LWK_NEVER
 */
u16 lwk_c_block_cost(u32 nid, unsigned long pfn)
{
	struct page *first = pfn_to_online_page(pfn);
	struct page *last = pfn_to_online_page(pfn + LWK_BLOCK_PAGES - 1);
	unsigned long i, nr;
	struct zone *zone;
	u16 cost = 0;
	int type;

	BUILD_BUG_ON(pageblock_order != LWK_BLOCK_ORDER);
	/* A node has many of them. */
	cond_resched();
	if (!first || !last || page_zone(first) != page_zone(last) || page_to_nid(first) != nid)
		return LWK_NEVER;
	zone = page_zone(first);
	type = get_pageblock_migratetype(first);
	/* What is read here and below may change at once: alloc_contig_range() has the last word. */
	if (!lwk_zone_serves(zone) || pfn < data_race(zone->zone_start_pfn) || type >= MIGRATE_PCPTYPES)
		return LWK_NEVER;
	for (i = 0; i < LWK_BLOCK_PAGES; i += nr) {
		struct page *page = pfn_to_page(pfn + i), *head;

		nr = lwk_buddy_pages(pfn + i);
		if (nr)
			continue;
		nr = 1;
		head = compound_head(page);
		/* Without references it waits in the list of a CPU. */
		if (page_ref_count(head) && !PageLRU(head) && !data_race(__PageMovable(head)))
			return LWK_NEVER;
		if (PageReserved(page) || PageHWPoison(page) || folio_test_hugetlb(page_folio(page)))
			return LWK_NEVER;
		cost++;
	}
	return cost;
}

/* Before a survey: pages on their way to an LRU list look as if they could not be moved. */
void lwk_c_settle_pages(void)
{
	lru_add_drain_all();
}

/**
 * lwk_c_claim() - take pageblocks from Linux
 * @pfn: the first frame
 * @nr_blocks: how many
 *
 * The caller holds one reference to each page then; they come home when it drops it.
 *
 * Return: 0 or an error of alloc_contig_range(), after which Linux has all of it
 */
int lwk_c_claim(unsigned long pfn, unsigned long nr_blocks)
{
	unsigned long end = pfn + nr_blocks * LWK_BLOCK_PAGES;
	int err;

	err = alloc_contig_range(pfn, end, MIGRATE_MOVABLE, GFP_KERNEL | __GFP_NOWARN);
	if (err)
		return err;
	for (; pfn < end; pfn += LWK_BLOCK_PAGES) {
		struct page *page = pfn_to_page(pfn);

		/* Nobody isolates a block whose pages are in use and cannot be moved, so the type stays. */
		set_pageblock_migratetype(page, MIGRATE_LWK);
		adjust_managed_page_count(page, -(long)LWK_BLOCK_PAGES);
	}
	return 0;
}
ALLOW_ERROR_INJECTION(lwk_c_claim, ERRNO);

/*
 * Drops the reference of lwk_c_claim(). Whoever looked for what was in a page before may have one for a moment yet, of
 * which free_contig_range() would warn.
 */
void lwk_c_send_home(unsigned long pfn, unsigned long nr_blocks)
{
	unsigned long i;

	for (; nr_blocks; nr_blocks--, pfn += LWK_BLOCK_PAGES) {
		for (i = 0; i < LWK_BLOCK_PAGES; i++)
			__free_page(pfn_to_page(pfn + i));
		cond_resched();
	}
}

/* Gives a pageblock back that no pool has any more and nobody refers to. */
void lwk_c_give_back(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	set_pageblock_migratetype(page, MIGRATE_MOVABLE);
	post_alloc_hook(page, LWK_BLOCK_ORDER, GFP_KERNEL);
	set_page_refcounted(page);
	adjust_managed_page_count(page, LWK_BLOCK_PAGES);
	__free_pages(page, LWK_BLOCK_ORDER);
}

/* After blocks came or went: watermarks and reserves follow, and what was given back goes from lists of CPUs to all. */
void lwk_c_memory_changed(u32 nid)
{
	struct zone *zone = lwk_zone(nid);

	if (zone)
		drain_all_pages(zone);
	init_per_zone_wmark_min();
}

/* The hooks look at pools from here on, or no longer; under the lock of changes. */
void lwk_c_memory_activate(bool on)
{
	if (on)
		static_branch_enable(&lwk_memory);
	else
		static_branch_disable(&lwk_memory);
}

static void lwk_settle(struct work_struct *work)
{
	lwk_rs_settle();
}
static DECLARE_WORK(lwk_settle_work, lwk_settle);

/* Pools may have more than they are to have. */
void lwk_c_settle_wake(void)
{
	queue_work(system_unbound_wq, &lwk_settle_work);
}

/*
 * Zeroing ahead: on CPUs of Linux, when these have nothing better to do. Debugging that keeps a pattern in free pages or
 * unmaps them goes without.
 */
static struct workqueue_struct *lwk_zero_queue;

/*
 * A block that is taken aside is back before anything else runs on this CPU: whoever waits for it waits for that long, and
 * not for its turn among all others that this nice worker has to wait for.
 */
static void lwk_zero(struct work_struct *work)
{
	bool more;

	do {
		preempt_disable();
		more = lwk_rs_zero_block();
		preempt_enable();
		cond_resched();
	} while (more);
}
static DECLARE_WORK(lwk_zero_work, lwk_zero);

static int __init lwk_zero_init(void)
{
	struct workqueue_attrs *attrs = alloc_workqueue_attrs();
	struct workqueue_struct *queue = alloc_workqueue("lwk_zero", WQ_UNBOUND, 1);

	if (!attrs || !queue || debug_pagealloc_enabled() || page_poisoning_enabled())
		goto out;
	attrs->nice = MAX_NICE;
	if (apply_workqueue_attrs(queue, attrs))
		goto out;
	swap(lwk_zero_queue, queue);
out:
	if (queue)
		destroy_workqueue(queue);
	free_workqueue_attrs(attrs);
	return 0;
}
core_initcall(lwk_zero_init);

/* There may be something to zero. */
void lwk_c_zeroing_wake(void)
{
	if (lwk_zero_queue)
		queue_work(lwk_zero_queue, &lwk_zero_work);
}

/* Zeroes a free block of a pool. */
void lwk_c_zero(unsigned long pfn)
{
	unsigned long i;

	for (i = 0; i < LWK_BLOCK_PAGES; i++)
		clear_page(page_address(pfn_to_page(pfn + i)));
}

/* Waits a moment, or longer if others are to run here. */
void lwk_c_may_yield(void)
{
	cond_resched();
	cpu_relax();
}

/* Pages of a pool, prepared as for the buddy allocator, have no user any more. False if they are not of a pool. */
bool __lwk_free_pages(struct page *page, unsigned int order)
{
	u32 next;

	if (get_pageblock_migratetype(page) != MIGRATE_LWK)
		return false;
	next = lwk_rs_free(page_to_nid(page), page_to_pfn(page), order);
	if (next & LWK_NEXT_SETTLE)
		lwk_c_settle_wake();
	if (next & LWK_NEXT_ZERO)
		lwk_c_zeroing_wake();
	__count_vm_events(PGFREE, 1 << order);
	return true;
}

bool __lwk_folio(const struct folio *folio)
{
	return get_pageblock_migratetype(&folio->page) == MIGRATE_LWK;
}

/* Is it anonymous, or of a file in memory, and not being made any more? */
static bool lwk_is_in_place(struct folio *folio)
{
	return folio_test_swapbacked(folio) && (folio_mapped(folio) || READ_ONCE(folio->mapping));
}

/*
 * Puts a folio, anonymous or of a file in memory, on the list of those that are never reclaimed. One that is being made is
 * left to who makes it: it has no cgroup yet, whose list it would be on. The caller has locked it.
 */
static void lwk_list(struct folio *folio)
{
	struct lruvec *lruvec;

	if (!lwk_is_in_place(folio))
		return;
	lruvec = folio_lruvec_lock_irq(folio);
	if (!folio_test_lru(folio)) {
		folio_set_unevictable(folio);
		folio->mlock_count = 0;
		folio_set_lru(folio);
		lruvec_add_folio(lruvec, folio);
	}
	unlock_page_lruvec_irq(lruvec);
}

bool __lwk_poisoned(struct page *page)
{
	struct folio *folio;
	bool was_split;

	if (get_pageblock_migratetype(page) != MIGRATE_LWK)
		return false;
	if (lwk_rs_retire(page_to_nid(page), page_to_pfn(page))) {
		/* Partitions have less to promise. */
		lwk_c_settle_wake();
		/* memory_failure() says it if that is not new. */
		return !TestSetPageHWPoison(page);
	}
	if (PageHuge(page))
		return false;
	/* memory_failure() knows how to take pages from their users if they are on an LRU list. */
	do {
		folio = page_folio(page);
		if (!folio_try_get(folio))
			return false;
		/* Who makes one takes its lock without asking. */
		was_split = false;
		if (lwk_is_in_place(folio)) {
			folio_lock(folio);
			was_split = page_folio(page) != folio;
			if (!was_split)
				lwk_list(folio);
			folio_unlock(folio);
		}
		folio_put(folio);
	} while (was_split);
	return false;
}

int lwk_c_node_distance(u32 from, u32 to)
{
	return node_distance(from, to);
}

bool __lwk_retire_free(struct page *page)
{
	if (!lwk_rs_retire_free(page_to_nid(page), page_to_pfn(page)))
		return false;
	/* Partitions have less to promise. */
	lwk_c_settle_wake();
	return true;
}

void __lwk_retire_used(struct page *page)
{
	if (get_pageblock_migratetype(page) == MIGRATE_LWK &&
	    lwk_rs_retire(page_to_nid(page), page_to_pfn(page)))
		lwk_c_settle_wake();
}
