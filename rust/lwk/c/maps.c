// SPDX-License-Identifier: GPL-2.0
/* What address spaces map of the pools: how much that is, what of it needs no lock, and who else leaves it alone. */
#include <linux/capability.h>
#include <linux/hugetlb.h>
#include <linux/lwk.h>
#include <linux/mman.h>
#include <linux/oom.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "internal.h"
#include "mm.h"
#include "rust.h"

/* Under the lock of the page table. Each place where Linux changes how often a page is mapped comes by here. */
void __lwk_count_pages(struct vm_area_struct *vma, const struct folio *folio, long nr)
{
	if (__lwk_folio(folio))
		atomic_long_add(nr, &lwk_mm(vma->vm_mm)->pages);
}

/* At most what Linux counts, whose sum may lag behind. */
unsigned long __lwk_mm_pages(struct mm_struct *mm)
{
	long pages = atomic_long_read(&lwk_mm(mm)->pages);

	return clamp(pages, 0L, (long)(get_mm_counter(mm, MM_ANONPAGES) + get_mm_counter(mm, MM_SHMEMPAGES)));
}

unsigned long __lwk_task_pages(struct task_struct *p)
{
	unsigned long pages;

	p = find_lock_task_mm(p);
	if (!p)
		return 0;
	pages = lwk_mm_pages(p->mm);
	task_unlock(p);
	return pages;
}

/*
 * Linux refuses a mapping of more pages than it has itself. Has the job been promised so many more, which Linux did not
 * count?
 */
bool __lwk_covers(struct mm_struct *mm, unsigned long pages)
{
	return mm && mm->lwk && pages <= lwk_rs_promised(mm->lwk);
}

/*
 * Where all that is mapped must be there, what jobs map counts, too, so that what they have of pools is counted to what
 * there is; and to a job what it has left of its promise, which others cannot get.
 */
unsigned long __lwk_committable(struct mm_struct *mm)
{
	unsigned long pages = lwk_pages(NUMA_NO_NODE, LWK_TOTAL);

	pages -= min(pages, lwk_pages(NUMA_NO_NODE, LWK_FREE));
	if (mm && mm->lwk)
		pages += lwk_rs_left(mm->lwk);
	return pages;
}

/* Pages of a range that are there: those of pools, and others, with what was swapped out. */
struct lwk_census {
	unsigned long pool, others;
};

static int lwk_census_pmd(pmd_t *pmd, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	struct lwk_census *census = walk->private;
	pte_t *start, *pte;
	spinlock_t *ptl;

	ptl = pmd_trans_huge_lock(pmd, walk->vma);
	if (ptl) {
		if (pmd_present(*pmd) && __lwk_folio(pmd_folio(*pmd)))
			census->pool += (end - addr) >> PAGE_SHIFT;
		else
			census->others += (end - addr) >> PAGE_SHIFT;
		spin_unlock(ptl);
		return 0;
	}
	start = pte = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!start) {
		walk->action = ACTION_AGAIN;
		return 0;
	}
	for (; addr < end; addr += PAGE_SIZE, pte++) {
		pte_t entry = ptep_get(pte);
		struct folio *folio = pte_present(entry) ? vm_normal_folio(walk->vma, addr, entry) : NULL;

		if (folio && __lwk_folio(folio))
			census->pool++;
		else if (!pte_none(entry))
			census->others++;
	}
	pte_unmap_unlock(start, ptl);
	cond_resched();
	return 0;
}

static const struct mm_walk_ops lwk_census_ops = {
	.pmd_entry = lwk_census_pmd,
	.walk_lock = PGWALK_RDLOCK,
};

/*
 * How many pages of a range are not there yet, or -1 if it is not all private memory of a job, or has a page that is not
 * of a pool. The caller has locked the address space.
 */
static long lwk_absent(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct lwk_census census = {};
	unsigned long at = start;
	struct vm_area_struct *vma;
	VMA_ITERATOR(vmi, mm, start);

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > at || !lwk_private(vma))
			return -1;
		at = vma->vm_end;
	}
	if (at < end || walk_page_range(mm, start, end, &lwk_census_ops, &census) || census.others)
		return -1;
	return ((end - start) >> PAGE_SHIFT) - census.pool;
}

static long lwk_absent_now(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	long absent;

	if (mmap_read_lock_killable(mm))
		return -1;
	absent = lwk_absent(mm, start, end);
	mmap_read_unlock(mm);
	return absent;
}

/*
 * May the calling process do without a lock on a range, beyond its limit, as all of it is of a pool? Brings pages first
 * that are not there, if the promise has room for them. The mappings are not marked: should Linux have to give a page
 * there later, that one is not locked, so that the limit holds for all memory of Linux.
 */
bool __lwk_stays(unsigned long start, size_t len, vm_flags_t flags)
{
	struct mm_struct *mm = current->mm;
	unsigned long end = start + len;
	long absent = lwk_absent_now(mm, start, end);

	if (absent > 0 && !(flags & VM_LOCKONFAULT) &&
	    lwk_rs_has_room(mm->lwk, (u64)absent << PAGE_SHIFT) && !__mm_populate(start, len, 0))
		absent = lwk_absent_now(mm, start, end);
	return absent == 0;
}

/* Would the calling process have more locked than it may, if all its memory was? */
static bool lwk_over_limit(struct mm_struct *mm)
{
	/* Asked without the lock, too, but again under it. */
	return READ_ONCE(mm->total_vm) > rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT && !capable(CAP_IPC_LOCK);
}

/* Brings what mlockall() can do without a lock for, before the address space is locked. */
void __lwk_lock_all(int flags)
{
	struct mm_struct *mm = current->mm;
	unsigned long start, end = 0;
	struct vm_area_struct *vma;
	bool is_private;

	if ((flags & (MCL_CURRENT | MCL_ONFAULT)) != MCL_CURRENT || !lwk_over_limit(mm))
		return;
	for (;;) {
		if (mmap_read_lock_killable(mm))
			return;
		vma = find_vma(mm, end);
		if (vma) {
			start = vma->vm_start;
			end = vma->vm_end;
			is_private = lwk_private(vma);
		}
		mmap_read_unlock(mm);
		if (!vma)
			return;
		if (is_private)
			__lwk_stays(start, end - start, 0);
	}
}

/* What mlockall() adds to the flags of a mapping: nothing to one of a pool, where all mappings were too much. */
vm_flags_t __lwk_needs_lock(struct vm_area_struct *vma, vm_flags_t flags)
{
	if (lwk_private(vma) && lwk_over_limit(vma->vm_mm) &&
	    lwk_absent(vma->vm_mm, vma->vm_start, vma->vm_end) == 0)
		flags &= ~VM_LOCKED_MASK;
	return flags;
}

/* Pages of the mappings that mlockall() would lock. */
unsigned long __lwk_locked_pages(struct mm_struct *mm)
{
	unsigned long pages = 0;
	struct vm_area_struct *vma;
	VMA_ITERATOR(vmi, mm, 0);

	for_each_vma(vmi, vma) {
		if (__lwk_needs_lock(vma, VM_LOCKED))
			pages += vma_pages(vma);
		cond_resched();
	}
	return pages;
}

/* The flags of a new mapping that is to be locked: beyond the limit what the promise has room for goes without. */
vm_flags_t __lwk_lock_flags(struct mm_struct *mm, vm_flags_t flags, unsigned long len)
{
	if (lwk_takes(flags) && !mlock_future_ok(mm, flags, len) && lwk_rs_has_room(mm->lwk, len))
		flags &= ~VM_LOCKED_MASK;
	return flags;
}

/*
 * Has a range of private memory within 2 MiB be zero. A huge page that nobody else refers to is cleared where it is, under
 * its lock, as it may be Linux', which is not to write it to swap space meanwhile; other pages are dropped, as Linux does.
 * The caller has locked the address space for writing.
 */
void lwk_clear_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	unsigned long huge = start & PMD_MASK;
	struct mm_struct *mm = vma->vm_mm;
	struct folio *folio = NULL;
	pmd_t *pmd;
	spinlock_t *ptl;

	/* No fault comes in between, not even one that does not take the lock of the address space. */
	vma_start_write(vma);
	pmd = mm_find_pmd(mm, start);
	ptl = pmd ? pmd_trans_huge_lock(pmd, vma) : NULL;
	if (ptl) {
		/* Who has another reference, be it a pipe, keeps what he has. */
		if (pmd_present(*pmd) && !is_huge_zero_pmd(*pmd) && PageAnonExclusive(pmd_page(*pmd)) &&
		    folio_ref_count(pmd_folio(*pmd)) == 1 && folio_trylock(pmd_folio(*pmd))) {
			folio = pmd_folio(*pmd);
			folio_get(folio);
			set_pmd_at(mm, huge, pmd, pmd_mksoft_dirty(*pmd));
		}
		spin_unlock(ptl);
	}
	if (!folio) {
		zap_page_range_single(vma, start, end - start, NULL);
		return;
	}
	for (; start < end; start += PAGE_SIZE)
		clear_highpage(folio_page(folio, (start - huge) >> PAGE_SHIFT));
	folio_unlock(folio);
	folio_put(folio);
}

static bool lwk_found(struct folio *folio, struct vm_area_struct *vma, unsigned long addr, void *arg)
{
	DEFINE_FOLIO_VMA_WALK(walk, folio, vma, addr, 0);
	bool *found = arg;

	if (!page_vma_mapped_walk(&walk))
		return true;
	page_vma_mapped_walk_done(&walk);
	*found = true;
	return false;
}

static bool lwk_not_of_job(struct vm_area_struct *vma, void *arg)
{
	/* The reverse map does not lock what it finds; VM_LWK, unlike other flags, never changes. */
	return !(READ_ONCE(vma->vm_flags) & VM_LWK);
}

/* Does a job map the folio, which the caller refers to? False also where a lock is taken; TTU_LWK_STAYS is asked later. */
bool lwk_job_maps(struct folio *folio)
{
	bool found = false;
	struct rmap_walk_control walk = {
		.rmap_one = lwk_found,
		.arg = &found,
		.anon_lock = folio_lock_anon_vma_read,
		.invalid_vma = lwk_not_of_job,
		.try_lock = true,
	};

	if (!folio_trylock(folio))
		return false;
	rmap_walk(folio, &walk);
	folio_unlock(folio);
	return found;
}

/* How far down its list hugetlbfs is to look, with interrupts off, for a page that is the caller's own. */
#define LWK_HUGETLB_TRIES	32

/* The job whose pages are the calling task's own: that of its memory, or, where it exits and has none any more, its last. */
static struct lwk_job *lwk_own_job(void)
{
	struct lwk_job *job = current->mm ? current->mm->lwk : current->lwk.job;

	return job && lwk_rs_job_has_memory(job) ? job : NULL;
}

/*
 * hugetlbfs keeps what mappings have reserved of a node in one list. Whoever takes a page, or gives one up, gets one that
 * his own job pays for, and a process without a job one of Linux, if it is among the first; else the next one, as ever.
 */
bool __lwk_own_hugetlb_first(struct list_head *list)
{
	struct lwk_job *job = lwk_own_job();
	int tries = LWK_HUGETLB_TRIES;
	struct folio *folio;

	list_for_each_entry(folio, list, lru) {
		bool is_own = __lwk_folio(folio) ?
			job && lwk_rs_owns(job, folio_nid(folio), folio_pfn(folio)) : !job;

		if (is_own) {
			list_move(&folio->lru, list);
			return true;
		}
		if (!--tries)
			break;
	}
	return false;
}

/* Linux gives up pages of one node after the other. Those of a reservation begin where the caller has some. */
void __lwk_free_own_hugetlb(struct hstate *h, bool surplus)
{
	int nid;

	for_each_online_node(nid) {
		if (surplus && !h->surplus_huge_pages_node[nid])
			continue;
		if (__lwk_own_hugetlb_first(&h->hugepage_freelists[nid]) && surplus) {
			h->next_nid_to_free = nid;
			return;
		}
	}
}

/* Pages of pools that each size of hugetlbfs has, all of them surplus pages; under its lock. */
static unsigned long lwk_surplus[HUGE_MAX_HSTATE];

void __lwk_count_hugetlb(struct hstate *h, struct folio *folio, int nr)
{
	unsigned long *count = &lwk_surplus[hstate_index(h)];

	/* A page of 1 GiB may have been cut into smaller ones, which were never counted up. */
	if (__lwk_folio(folio) && (nr > 0 || *count))
		*count += nr;
}

unsigned long __lwk_hugetlb_surplus(struct hstate *h)
{
	/* Who sets pages aside makes some of a job's his own. */
	return min(lwk_surplus[hstate_index(h)], h->surplus_huge_pages);
}
