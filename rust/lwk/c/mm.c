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
#include <linux/uaccess.h>

#include "internal.h"
#include "rust.h"

/* What the first page of a folio that holds zeroes notes in its private field until somebody asks for these. */
#define LWK_ZEROED	1

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
	if (vma->vm_flags & (VM_SHARED | VM_HUGETLB))
		return LWK_ANON;
	/* bss follows the data of the program. */
	if (!vma_is_anonymous((struct vm_area_struct *)vma) ||
	    (vma->vm_start >= mm->start_code && vma->vm_end <= mm->start_brk))
		return LWK_DBSS;
	return LWK_ANON;
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
			      nodes ? nodes_addr(*nodes)[0] : ~0UL, place->chosen);
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
	int nid;

	*nodes = NULL;
	switch (policy->mode) {
	case MPOL_BIND:
		*nodes = &policy->nodes;
		return numa_node_id();
	case MPOL_PREFERRED:
		return first_node(policy->nodes);
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		index %= max(nodes_weight(policy->nodes), 1);
		for (nid = first_node(policy->nodes); index; index--)
			nid = next_node_in(nid, policy->nodes);
		return nid < MAX_NUMNODES ? nid : numa_node_id();
	default:
		return numa_node_id();
	}
}

struct folio *__lwk_alloc_shared(gfp_t gfp, int order, struct vm_area_struct *vma,
				 struct mempolicy *policy, pgoff_t index)
{
	struct lwk_place place = {
		.region = LWK_ANON, .addr = (u64)index << PAGE_SHIFT << order,
		.chosen = policy->flags & MPOL_F_SHARED || current->mempolicy,
		.asks = true,
	};

	if (!(vma->vm_flags & VM_LWK))
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
		.region = LWK_ANON, .addr = (u64)h->nr_huge_pages * PMD_SIZE,
		.nid = policy ? first_node(only) : numa_node_id(),
		.nodes = policy ? &only : NULL,
		.chosen = policy,
	};
	unsigned int order = huge_page_order(h);
	struct page *page;

	/* Its pages are all alike, so that a job's would be given to others if it had some of its own. */
	if ((order != PMD_ORDER && order != PUD_SHIFT - PAGE_SHIFT) ||
	    h->nr_huge_pages != h->surplus_huge_pages)
		return NULL;
	page = lwk_take(current->mm->lwk, gfp & ~__GFP_ZERO, order, &place);
	return page ? page_folio(page) : NULL;
}

bool __lwk_takes_huge(struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_LWK && lwk_rs_is_large(vma->vm_mm->lwk, LWK_ANON);
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

/* Mappings that take memory of their job, and not of others or none until they are touched. */
static bool lwk_takes(vm_flags_t flags)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB;

	return (flags & mask) == (VM_LWK | VM_WRITE);
}

/* Mappings of memory that is shared, and not of a file with a name in tmpfs, whose holes may be meant. */
static bool lwk_takes_shared(const struct vm_area_struct *vma)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB;

	return (vma->vm_flags & mask) == (VM_LWK | VM_WRITE | VM_SHARED) && vma->vm_file &&
	       shmem_mapping(vma->vm_file->f_mapping) && vma->vm_file->f_mapping->host->i_sb->s_flags & SB_NOUSER;
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

unsigned long __lwk_hugetlb_flags(unsigned long flags, unsigned long addr, unsigned long *len)
{
	const unsigned long wanted = MAP_HUGETLB | MAP_ANONYMOUS | MAP_PRIVATE;
	struct hstate *hs = hstate_sizelog(flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK);
	unsigned long aligned = ALIGN(*len, PMD_SIZE);

	if ((flags & (wanted | MAP_SHARED)) != wanted || !hs || huge_page_size(hs) != PMD_SIZE)
		return flags;
	/* Linux says what is wrong with other addresses and lengths. */
	if (!IS_ALIGNED(addr, PMD_SIZE) || !aligned ||
	    !lwk_rs_has_large(current->mm->lwk, LWK_ANON, aligned))
		return flags;
	*len = aligned;
	return flags & ~(MAP_HUGETLB | MAP_HUGE_MASK << MAP_HUGE_SHIFT);
}

/*
 * Before the address space is locked, as clearing may fault. What is cleared is what the caller gives up; if another
 * thread moves the end meanwhile, __lwk_brk() finds another one and unmaps.
 */
unsigned long __lwk_brk_clear(struct mm_struct *mm, unsigned long brk)
{
	unsigned long end = READ_ONCE(mm->brk);
	unsigned long from = PAGE_ALIGN(brk), to = min(PAGE_ALIGN(end), ALIGN(brk, PMD_SIZE));

	if (brk < READ_ONCE(mm->start_brk))
		return 0;
	if (from < to && clear_user((void __user *)from, to - from))
		return 0;
	return end;
}

void __lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long cleared, unsigned long *old,
	       unsigned long *new)
{
	unsigned long step = lwk_rs_heap_step(mm->lwk), end = mm->lwk_heap_end;

	/* prctl(PR_SET_MM) may have moved the heap. */
	if (end < *old || end - *old >= max(step, PMD_SIZE))
		end = *old;
	*old = end;
	if (brk >= mm->brk)
		*new = *new <= end ? end : roundup(*new, step);
	else if (cleared == mm->brk)
		*new = min(end, ALIGN(brk, PMD_SIZE));
}

void __lwk_align_heap(struct mm_struct *mm)
{
	mm->start_brk = ALIGN(mm->start_brk, PMD_SIZE);
	mm->brk = mm->start_brk;
}

unsigned long __lwk_stack_expand(struct mm_struct *mm, unsigned long usual, unsigned long limit)
{
	unsigned long most = min(limit, (unsigned long)_STK_LIM);

	return most > usual && lwk_rs_populates(mm->lwk, LWK_STACK, most) ? most : usual;
}

unsigned long __lwk_mm_pages(struct mm_struct *mm)
{
	return min((unsigned long)lwk_rs_used_pages(mm->lwk), get_mm_counter(mm, MM_ANONPAGES));
}

unsigned long __lwk_promised_pages(struct mm_struct *mm)
{
	return lwk_rs_promised_pages(mm->lwk);
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
	if (current->vfork_done || !current_is_single_threaded() || !lwk_rs_job_has_memory(job))
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
