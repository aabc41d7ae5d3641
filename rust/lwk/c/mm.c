// SPDX-License-Identifier: GPL-2.0
/* Memory between Linux and the pools of the LWK: what can be had, taking it, giving it back, and the way home of pages. */
#include <linux/error-injection.h>
#include <linux/gfp.h>
#include <linux/lwk.h>
#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/page-isolation.h>
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
		if (populated_zone(zone) && lwk_zone_serves(zone))
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

	if (!node_online(nid))
		return false;
	zone = lwk_zone(nid);
	if (!zone)
		return false;
	node->first = zone->zone_start_pfn;
	node->end = zone_end_pfn(zone);
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
	if (!first || !last || page_zone(first) != page_zone(last) || page_to_nid(first) != nid)
		return LWK_NEVER;
	zone = page_zone(first);
	type = get_pageblock_migratetype(first);
	if (!lwk_zone_serves(zone) || pfn < zone->zone_start_pfn || type >= MIGRATE_PCPTYPES)
		return LWK_NEVER;
	for (i = 0; i < LWK_BLOCK_PAGES; i += nr) {
		struct page *page = pfn_to_page(pfn + i), *head;

		nr = lwk_buddy_pages(pfn + i);
		if (nr)
			continue;
		nr = 1;
		head = compound_head(page);
		/* Without references it waits in the list of a CPU. */
		if (page_ref_count(head) && !PageLRU(head) && !__PageMovable(head))
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

/* Drops the reference of lwk_c_claim(). */
void lwk_c_send_home(unsigned long pfn, unsigned long nr_blocks)
{
	free_contig_range(pfn, nr_blocks * LWK_BLOCK_PAGES);
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

/* The hooks look at pools from here on, or no longer; under the control lock. */
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

/* Pages of a pool, prepared as for the buddy allocator, have no user any more. False if they are not of a pool. */
bool __lwk_free_pages(struct page *page, unsigned int order)
{
	if (get_pageblock_migratetype(page) != MIGRATE_LWK)
		return false;
	if (lwk_rs_free(page_to_nid(page), page_to_pfn(page), order))
		queue_work(system_unbound_wq, &lwk_settle_work);
	__count_vm_events(PGFREE, 1 << order);
	return true;
}

bool __lwk_folio(const struct folio *folio)
{
	return get_pageblock_migratetype(&folio->page) == MIGRATE_LWK;
}

/* Puts a folio on the list of those that are never reclaimed. */
static void lwk_list(struct folio *folio)
{
	struct lruvec *lruvec = folio_lruvec_lock_irq(folio);

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

	if (get_pageblock_migratetype(page) != MIGRATE_LWK)
		return false;
	if (lwk_rs_retire(page_to_nid(page), page_to_pfn(page))) {
		/* Partitions have less to promise. */
		queue_work(system_unbound_wq, &lwk_settle_work);
		return true;
	}
	/* memory_failure() knows how to take pages from their users if they are on an LRU list. */
	folio = page_folio(page);
	if (folio_try_get(folio)) {
		if (folio_test_anon(folio))
			lwk_list(folio);
		folio_put(folio);
	}
	return false;
}

int lwk_c_node_distance(u32 from, u32 to)
{
	return node_distance(from, to);
}

/* The part of its address space that a mapping is of, as regions are numbered (enum Region of logic/mempolicy.rs). */
enum { LWK_DBSS, LWK_HEAP, LWK_ANON, LWK_THREAD_STACK, LWK_STACK };

static u32 lwk_region(const struct vm_area_struct *vma)
{
	const struct mm_struct *mm = vma->vm_mm;

	if (vma_is_initial_stack(vma))
		return LWK_STACK;
	if (vma->vm_flags & VM_LWK_STACK)
		return LWK_THREAD_STACK;
	if (vma_is_initial_heap(vma))
		return LWK_HEAP;
	/* bss follows the data of the program. */
	if (!vma_is_anonymous((struct vm_area_struct *)vma) ||
	    (vma->vm_start >= mm->start_code && vma->vm_end <= mm->start_brk))
		return LWK_DBSS;
	return LWK_ANON;
}

struct folio *__lwk_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
				unsigned long addr, int nid, const nodemask_t *nodes)
{
	struct lwk_job *job = vma->vm_mm->lwk;
	bool chosen = vma->vm_policy || current->mempolicy;
	struct page *page;
	u64 pfn;

	if (!job || (order && order != LWK_BLOCK_ORDER))
		return NULL;
	pfn = lwk_rs_allocate(job, lwk_region(vma), order, addr, nid,
			      nodes ? nodes_addr(*nodes)[0] : ~0UL, chosen);
	if (!pfn)
		return NULL;
	page = pfn_to_page(pfn);
	/* As prep_new_page() does. */
	post_alloc_hook(page, order, gfp);
	set_page_refcounted(page);
	if (order)
		prep_compound_page(page, order);
	clear_page_pfmemalloc(page);
	__count_zid_vm_events(PGALLOC, page_zonenum(page), 1 << order);
	return page_rmappable_folio(page);
}

void __lwk_spilled(struct vm_area_struct *vma, struct folio *folio)
{
	if (vma->vm_mm->lwk)
		lwk_rs_spilled(vma->vm_mm->lwk, folio_nr_pages(folio));
}

/* Mappings that take memory of their job, and not of others or none until they are touched. */
static bool lwk_takes(vm_flags_t flags)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB;

	return (flags & mask) == (VM_LWK | VM_WRITE);
}

bool __lwk_populates(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	return vma && lwk_takes(vma->vm_flags) && lwk_rs_populates(mm->lwk, lwk_region(vma), len);
}

bool __lwk_aligns(vm_flags_t flags, unsigned long len)
{
	struct lwk_job *job = current->mm->lwk;
	u32 region = flags & VM_LWK_STACK ? LWK_THREAD_STACK : LWK_ANON;

	return job && flags & VM_LWK && lwk_rs_aligns(job, region, len);
}

bool __lwk_permits(struct mm_struct *mm, vm_flags_t flags, unsigned long pages)
{
	return !lwk_takes(flags) || lwk_rs_permits(mm->lwk, pages << PAGE_SHIFT);
}

bool __lwk_keeps(struct mm_struct *mm)
{
	return lwk_rs_keeps(mm->lwk);
}

vm_flags_t __lwk_map_flags(vm_flags_t vm_flags, unsigned long flags)
{
	/* Linux takes MAP_STACK for a wish to have no huge pages. */
	if (vm_flags & VM_LWK && flags & MAP_STACK)
		vm_flags = (vm_flags & ~VM_NOHUGEPAGE) | VM_LWK_STACK;
	return vm_flags;
}

void __lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long *old, unsigned long *new)
{
	unsigned long step = lwk_rs_heap_step(mm->lwk), end = mm->lwk_heap_end;

	/* prctl(PR_SET_MM) may have moved the heap. */
	if (end < *old || end - *old >= step)
		end = *old;
	*old = end;
	if (brk > mm->brk)
		*new = *new <= end ? end : roundup(*new, step);
}

void __lwk_align_heap(struct mm_struct *mm)
{
	mm->start_brk = ALIGN(mm->start_brk, PMD_SIZE);
	mm->brk = mm->start_brk;
}

unsigned long __lwk_mm_pages(struct mm_struct *mm)
{
	return min((unsigned long)lwk_rs_used_pages(mm->lwk), get_mm_counter(mm, MM_ANONPAGES));
}

unsigned long lwk_pages(int nid, enum lwk_pages which)
{
	unsigned long pages = 0;
	int node;

	for_each_online_node(node)
		if (nid == NUMA_NO_NODE || nid == node)
			pages += lwk_rs_pool_pages(node, which == LWK_FREE);
	return pages;
}

unsigned long lwk_thp_orders(struct vm_area_struct *vma, unsigned long vm_flags,
			     unsigned long tva_flags, unsigned long orders)
{
	orders &= BIT(PMD_ORDER);
	/* Who asks without these flags collapses pages, or looks for some that could be. */
	if (!(tva_flags & (TVA_IN_PF | TVA_SMAPS)))
		return 0;
	if (!vma->vm_mm || vma_thp_disabled(vma, vm_flags) || vma_is_temporary_stack(vma))
		return 0;
	if (vma->vm_mm->lwk && !lwk_rs_is_large(vma->vm_mm->lwk, lwk_region(vma)))
		return 0;
	if (!(tva_flags & TVA_IN_PF) &&
	    !thp_vma_suitable_order(vma, vma->vm_end - PMD_SIZE, PMD_ORDER))
		return 0;
	return orders;
}

void __lwk_mm_init(struct mm_struct *mm)
{
	struct lwk_job *job = current->lwk.job;

	if (!lwk_rs_job_has_memory(job))
		return;
	lwk_rs_job_get(job);
	mm->lwk = job;
	mm->def_flags |= VM_LWK;
}

/* The calling process has entered a job: what it maps from here on is of the job. */
void lwk_c_mm_enter(struct lwk_job *job)
{
	struct mm_struct *mm = current->mm;

	/* A child of vfork() has but borrowed it. */
	if (current->vfork_done || !lwk_rs_job_has_memory(job))
		return;
	mmap_write_lock(mm);
	if (!mm->lwk) {
		lwk_rs_job_get(job);
		mm->lwk = job;
		mm->def_flags |= VM_LWK;
	}
	mmap_write_unlock(mm);
}

void __lwk_mm_drop(struct mm_struct *mm)
{
	lwk_rs_job_put(mm->lwk);
}
