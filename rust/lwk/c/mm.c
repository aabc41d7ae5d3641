// SPDX-License-Identifier: GPL-2.0
/* The memory of jobs: what address spaces have of the pools, and what Linux does otherwise with it. */
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/lwk.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>

#include "internal.h"
#include "mm.h"
#include "rust.h"

/* What the first page of a folio that holds zeroes notes in its private field until somebody asks for these. */
#define LWK_ZEROED	1

/* The part of its address space that a mapping is of, as regions are numbered (enum Region of logic/mempolicy.rs). */
enum { LWK_DBSS, LWK_HEAP, LWK_ANON, LWK_THREAD_STACK, LWK_STACK };

/*
 * A fault has but its own mapping locked, while other threads move the break, or the whole layout by prctl(PR_SET_MM). What
 * is read of these was right a moment ago, and only chooses a policy.
 */
static u32 lwk_part(const struct vm_area_struct *vma)
{
	const struct mm_struct *mm = vma->vm_mm;

	if (data_race(vma_is_initial_stack(vma)))
		return LWK_STACK;
	if (vma->vm_flags & VM_LWK_STACK)
		return LWK_THREAD_STACK;
	if (data_race(vma_is_initial_heap(vma)))
		return LWK_HEAP;
	if (vma->vm_flags & (VM_SHARED | VM_HUGETLB))
		return LWK_ANON;
	/* bss follows the data of the program. */
	if (!vma_is_anonymous((struct vm_area_struct *)vma) ||
	    data_race(vma->vm_start >= mm->start_code && vma->vm_end <= mm->start_brk))
		return LWK_DBSS;
	return LWK_ANON;
}

/* The number by which Rust finds the policy for a part of an address space. */
static u32 lwk_policy_of(struct mm_struct *mm, u32 part)
{
	return lwk_mm(mm)->plain ? part | LWK_PLAIN : part;
}

static u32 lwk_region(const struct vm_area_struct *vma)
{
	return lwk_policy_of(vma->vm_mm, lwk_part(vma));
}

/* What a page is wanted for, as struct Place of mem/promise.rs, and whether its user asks lwk_zeroed(). */
struct lwk_place {
	u32 region;
	u64 addr;
	int nid;
	const nodemask_t *nodes;
	bool chosen;
	bool asks;
};

/* The node of the calling task: that of its home, if it is away for a system call, unless a policy names another. */
static int lwk_near_node(const struct lwk_place *place)
{
	if (!place->chosen && lwk_away(current) && place->nid == numa_node_id())
		return cpu_to_node(current->lwk.home);
	return place->nid;
}

/* As get_page_from_freelist() does, but nobody refers to the page yet. */
static struct page *lwk_take(struct lwk_job *job, gfp_t gfp, int order,
			     const struct lwk_place *place)
{
	const nodemask_t *nodes = place->nodes;
	struct page *page;
	bool zeroed;
	u64 pfn;

	pfn = lwk_rs_allocate(job, place->region, order, place->addr, lwk_near_node(place),
			      nodes ? READ_ONCE(nodes_addr(*nodes)[0]) : ~0UL, place->chosen);
	if (!pfn)
		return NULL;
	zeroed = pfn & LWK_PAGE_ZEROED;
	page = pfn_to_page(pfn & ~LWK_PAGE_ZEROED);
	if (zeroed)
		gfp &= ~__GFP_ZERO;
	post_alloc_hook(page, order, gfp);
	if (order)
		prep_compound_page(page, order);
	if (zeroed && place->asks)
		set_page_private(page, LWK_ZEROED);
	clear_page_pfmemalloc(page);
	__count_zid_vm_events(PGALLOC, page_zonenum(page), 1 << order);
	return page;
}

static struct folio *lwk_take_folio(struct lwk_job *job, gfp_t gfp, int order,
				    const struct lwk_place *place)
{
	struct page *page;

	if (order && order != PMD_ORDER)
		return NULL;
	page = lwk_take(job, gfp, order, place);
	if (page)
		set_page_refcounted(page);
	return page_rmappable_folio(page);
}

struct folio *__lwk_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
				unsigned long addr, int nid, const nodemask_t *nodes)
{
	struct lwk_job *job = vma->vm_mm->lwk;
	const struct lwk_place place = {
		.region = lwk_region(vma), .addr = addr, .nid = nid, .nodes = nodes,
		.chosen = vma->vm_policy || current->mempolicy,
		.asks = order,
	};

	return job ? lwk_take_folio(job, gfp, order, &place) : NULL;
}

/* The node that a policy of Linux names first, or this one, and those that it allows, or NULL. */
static int lwk_policy_node(const struct mempolicy *policy, pgoff_t index, const nodemask_t **nodes)
{
	nodemask_t set;
	int nid;

	/* A write to cpuset.mems may change a task's policy: the set is read once. Rust refuses a node that there is not. */
	barrier();
	set = data_race(policy->nodes);
	barrier();
	*nodes = NULL;
	switch (policy->mode) {
	case MPOL_BIND:
		*nodes = &policy->nodes;
		return numa_node_id();
	case MPOL_PREFERRED:
		return first_node(set);
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		index %= max(nodes_weight(set), 1);
		for (nid = first_node(set); index; index--)
			nid = next_node_in(nid, set);
		return nid < MAX_NUMNODES ? nid : numa_node_id();
	default:
		return numa_node_id();
	}
}

struct folio *__lwk_alloc_shared(gfp_t gfp, int order, struct vm_area_struct *vma,
				 struct mempolicy *policy, pgoff_t index)
{
	struct lwk_place place = {
		.region = lwk_policy_of(vma->vm_mm, LWK_ANON),
		.addr = (u64)index << PAGE_SHIFT << order,
		.chosen = policy->flags & MPOL_F_SHARED || current->mempolicy,
		.asks = true,
	};

	/* A single page would keep 2 MiB from others for as long as its file is there. */
	if (!(vma->vm_flags & VM_LWK) || !order)
		return NULL;
	place.nid = lwk_policy_node(policy, index, &place.nodes);
	return lwk_take_folio(vma->vm_mm->lwk, gfp, order, &place);
}

struct folio *__lwk_alloc_hugetlb(struct hstate *h, gfp_t gfp, int nid)
{
	struct mempolicy *policy = current->mempolicy;
	nodemask_t only = nodemask_of_node(nid == NUMA_NO_NODE ? numa_node_id() : nid);
	const struct lwk_place place = {
		/* Each one from another node, if the job interleaves. */
		.region = lwk_policy_of(current->mm, LWK_ANON),
		.addr = (u64)READ_ONCE(h->nr_huge_pages) * PMD_SIZE,
		.nid = policy ? first_node(only) : numa_node_id(),
		.nodes = policy ? &only : NULL,
		.chosen = policy,
	};
	unsigned int order = huge_page_order(h);
	struct page *page;
	bool has_own;

	if (order != PMD_ORDER && order != PUD_SHIFT - PAGE_SHIFT)
		return NULL;
	spin_lock_irq(&hugetlb_lock);
	has_own = h->nr_huge_pages != h->surplus_huge_pages;
	spin_unlock_irq(&hugetlb_lock);
	/* Its pages are all alike, so that a job's would be given to others if it had some of its own. */
	if (has_own)
		return NULL;
	page = lwk_take(current->mm->lwk, gfp & ~__GFP_ZERO, order, &place);
	return page ? page_folio(page) : NULL;
}

/* Only where the file has all of the 2 MiB: what is behind its end must fault, and is not to be paid for. */
bool __lwk_takes_huge(struct vm_area_struct *vma, struct inode *inode, pgoff_t index)
{
	pgoff_t end = round_up(index + 1, HPAGE_PMD_NR);

	return vma->vm_flags & VM_LWK && DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE) >= end &&
	       lwk_rs_is_large(vma->vm_mm->lwk, lwk_policy_of(vma->vm_mm, LWK_ANON));
}

bool __lwk_zeroed(struct folio *folio)
{
	if (page_private(&folio->page) != LWK_ZEROED || folio_test_hugetlb(folio) || !__lwk_folio(folio))
		return false;
	set_page_private(&folio->page, 0);
	return true;
}

void __lwk_spilled(struct vm_area_struct *vma, struct folio *folio)
{
	if (vma->vm_mm->lwk)
		lwk_rs_spilled(vma->vm_mm->lwk, folio_nr_pages(folio));
}

/* Mappings of memory that is shared, and not of a file with a name in tmpfs, whose holes may be meant. */
static bool lwk_takes_shared(const struct vm_area_struct *vma)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB;

	/* A remount changes other flags. */
	return (vma->vm_flags & mask) == (VM_LWK | VM_WRITE | VM_SHARED) && vma->vm_file &&
	       shmem_mapping(vma->vm_file->f_mapping) &&
	       READ_ONCE(vma->vm_file->f_mapping->host->i_sb->s_flags) & SB_NOUSER;
}

bool __lwk_populates(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_NORESERVE | VM_HUGETLB;
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma)
		return false;
	/* hugetlbfs took its pages from the reservation before it made the mapping. */
	if ((vma->vm_flags & mask) == (VM_LWK | VM_WRITE | VM_HUGETLB))
		len = 0;
	else if (!lwk_takes(vma->vm_flags) && !lwk_takes_shared(vma))
		return false;
	return lwk_rs_populates(mm->lwk, lwk_region(vma), len);
}

bool __lwk_aligns(vm_flags_t flags, unsigned long len)
{
	struct lwk_job *job = current->mm->lwk;
	u32 region = flags & VM_LWK_STACK ? LWK_THREAD_STACK : LWK_ANON;

	return job && flags & VM_LWK && lwk_rs_aligns(job, lwk_policy_of(current->mm, region), len);
}

bool __lwk_permits(struct mm_struct *mm, vm_flags_t flags, unsigned long pages)
{
	/* A stack grows by faults, which have no other answer than a signal. */
	return lwk_mm(mm)->plain || !lwk_takes(flags) || flags & VM_GROWSDOWN ||
	       lwk_rs_permits(mm->lwk, pages << PAGE_SHIFT);
}

bool __lwk_keeps(struct mm_struct *mm)
{
	return !lwk_mm(mm)->plain && lwk_rs_keeps(mm->lwk);
}

vm_flags_t __lwk_map_flags(vm_flags_t vm_flags, unsigned long flags)
{
	/* Linux takes MAP_STACK for a wish to have no huge pages. */
	if (vm_flags & VM_LWK && flags & MAP_STACK && !lwk_mm(current->mm)->plain)
		vm_flags = (vm_flags & ~VM_NOHUGEPAGE) | VM_LWK_STACK;
	return vm_flags;
}

unsigned long __lwk_hugetlb_flags(unsigned long flags, unsigned long addr, unsigned long *len)
{
	const unsigned long wanted = MAP_HUGETLB | MAP_ANONYMOUS | MAP_PRIVATE;
	struct hstate *hs = hstate_sizelog(flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK);
	unsigned long aligned = ALIGN(*len, PMD_SIZE);

	if ((flags & (wanted | MAP_SHARED)) != wanted || !hs || huge_page_size(hs) != PMD_SIZE ||
	    lwk_mm(current->mm)->plain)
		return flags;
	/* Linux says what is wrong with other addresses and lengths. */
	if (!IS_ALIGNED(addr, PMD_SIZE) || !aligned ||
	    !lwk_rs_has_large(current->mm->lwk, LWK_ANON, aligned))
		return flags;
	*len = aligned;
	return flags & ~(MAP_HUGETLB | MAP_HUGE_MASK << MAP_HUGE_SHIFT);
}

/* Is a range one mapping of private memory? */
static bool lwk_is_one(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	return vma && vma->vm_end >= end && lwk_private(vma);
}

/* And can nobody tell whether it was unmapped, and mapped again by brk()? What is locked has no pages that are not there. */
static bool lwk_is_heap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	const vm_flags_t usual = VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT | mm->def_flags;
	struct vm_area_struct *vma = vma_lookup(mm, start);

	return lwk_is_one(mm, start, end) && !vma_policy(vma) &&
	       !(((vma->vm_flags ^ usual) & ~VM_SOFTDIRTY) || usual & VM_LOCKED);
}

/* The end of a heap that is mapped up to @end and must reach to @least: a whole number of steps, if that can be had. */
static unsigned long lwk_heap_end(struct mm_struct *mm, unsigned long end, unsigned long least,
				  unsigned long step)
{
	const vm_flags_t flags = VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT | mm->def_flags;
	unsigned long most = roundup(least, step);
	struct vm_area_struct *next = find_vma(mm, end);

	if (most > TASK_SIZE || (next && most + PAGE_SIZE > vm_start_gap(next)) ||
	    !mlock_future_ok(mm, mm->def_flags, most - end) ||
	    !may_expand_vm(mm, flags, (most - end) >> PAGE_SHIFT))
		return least;
	return most;
}

void __lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long *old, unsigned long *new)
{
	unsigned long step = lwk_mm(mm)->plain ? PMD_SIZE : lwk_rs_heap_step(mm->lwk);
	unsigned long end = mm->lwk_heap_end, kept;

	/* prctl(PR_SET_MM) may have moved the heap, and the program have mapped something else behind its end. */
	if (end < *old || end - *old >= max(step, PMD_SIZE) ||
	    (end > *old && !lwk_is_one(mm, *old, end)))
		end = *old;
	*old = end;
	if (brk >= mm->brk) {
		*new = *new <= end ? end : lwk_heap_end(mm, end, *new, step);
		return;
	}
	kept = min(end, ALIGN(brk, PMD_SIZE));
	if (kept > *new && lwk_is_heap(mm, *new, kept) &&
	    (kept == end || find_vma_intersection(mm, kept, end)))
		*new = kept;
}

bool __lwk_brk_less(unsigned long brk, unsigned long *new)
{
	unsigned long least = PAGE_ALIGN(brk);

	if (*new <= least)
		return false;
	*new = least;
	return true;
}

void __lwk_brk_clear(struct mm_struct *mm, unsigned long old, unsigned long end)
{
	unsigned long start = PAGE_ALIGN(mm->brk);

	end = min(end, PAGE_ALIGN(old));
	if (start < end)
		lwk_clear_range(vma_lookup(mm, start), start, end);
}

void __lwk_align_heap(struct mm_struct *mm)
{
	/* It costs 9 of 18 bits that the heap's place is random by. */
	if (lwk_mm(mm)->plain)
		return;
	mm->start_brk = ALIGN(mm->start_brk, PMD_SIZE);
	mm->brk = mm->start_brk;
}

unsigned long __lwk_stack_expand(struct mm_struct *mm, unsigned long usual, unsigned long limit)
{
	unsigned long most = min(limit, (unsigned long)_STK_LIM);

	return most > usual && lwk_rs_populates(mm->lwk, lwk_policy_of(mm, LWK_STACK), most) ? most : usual;
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
	WRITE_ONCE(mm->lwk, job);
	mm->def_flags |= VM_LWK;
	/* A set-uid program may run others. */
	lwk_mm(mm)->plain = current->mm && lwk_mm(current->mm)->plain;
}

/* The calling process has entered a job: what it maps from here on is of the job. */
void lwk_c_mm_enter(struct lwk_job *job)
{
	struct mm_struct *mm = current->mm;

	/* A child of vfork() has but borrowed it. */
	if (current->vfork_done || !current_is_single_threaded() || !lwk_rs_job_has_memory(job))
		return;
	mmap_write_lock(mm);
	if (!mm->lwk) {
		lwk_rs_job_get(job);
		WRITE_ONCE(mm->lwk, job);
		mm->def_flags |= VM_LWK;
	}
	mmap_write_unlock(mm);
}

void __lwk_mm_drop(struct mm_struct *mm)
{
	WARN_ON_ONCE(atomic_long_read(&lwk_mm(mm)->pages));
	lwk_rs_job_put(mm->lwk);
}
