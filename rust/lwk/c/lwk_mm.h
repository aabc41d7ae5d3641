/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hooks of the lightweight kernel (LWK) that are about memory; lwk.h includes them.
 */
#ifndef _LINUX_LWK_MM_H
#define _LINUX_LWK_MM_H

struct hstate;
struct mempolicy;

#ifdef CONFIG_LWK

/* On while a pool has memory. */
DECLARE_STATIC_KEY_FALSE(lwk_memory);

bool __lwk_free_pages(struct page *page, unsigned int order);
bool __lwk_folio(const struct folio *folio);
bool __lwk_poisoned(struct page *page);
bool __lwk_retire_free(struct page *page);
void __lwk_retire_used(struct page *page);
struct folio *__lwk_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
				unsigned long addr, int nid, const nodemask_t *nodes);
struct folio *__lwk_alloc_shared(gfp_t gfp, int order, struct vm_area_struct *vma,
				 struct mempolicy *policy, pgoff_t index);
struct folio *__lwk_alloc_hugetlb(struct hstate *h, gfp_t gfp, int nid);
bool __lwk_takes_huge(struct vm_area_struct *vma, struct inode *inode, pgoff_t index);
bool __lwk_zeroed(struct folio *folio);
void __lwk_spilled(struct vm_area_struct *vma, struct folio *folio);
bool __lwk_populates(struct mm_struct *mm, unsigned long addr, unsigned long len);
bool __lwk_aligns(vm_flags_t flags, unsigned long len);
bool __lwk_permits(struct mm_struct *mm, vm_flags_t flags, unsigned long pages);
bool __lwk_keeps(struct mm_struct *mm);
vm_flags_t __lwk_map_flags(vm_flags_t vm_flags, unsigned long flags);
unsigned long __lwk_hugetlb_flags(unsigned long flags, unsigned long addr, unsigned long *len);
void __lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long *old, unsigned long *new);
bool __lwk_brk_less(unsigned long brk, unsigned long *new);
void __lwk_brk_clear(struct mm_struct *mm, unsigned long old, unsigned long end);
void __lwk_align_heap(struct mm_struct *mm);
unsigned long __lwk_stack_expand(struct mm_struct *mm, unsigned long usual, unsigned long limit);
unsigned long __lwk_mm_pages(struct mm_struct *mm);
unsigned long __lwk_task_pages(struct task_struct *p);
void __lwk_count_pages(struct vm_area_struct *vma, const struct folio *folio, long nr);
bool __lwk_stays(unsigned long start, size_t len, vm_flags_t flags);
void __lwk_lock_all(int flags);
vm_flags_t __lwk_needs_lock(struct vm_area_struct *vma, vm_flags_t flags);
unsigned long __lwk_locked_pages(struct mm_struct *mm);
vm_flags_t __lwk_lock_flags(struct mm_struct *mm, vm_flags_t flags, unsigned long len);
bool lwk_job_maps(struct folio *folio);
bool __lwk_own_hugetlb_first(struct list_head *list);
void __lwk_free_own_hugetlb(struct hstate *h, bool surplus);
void __lwk_count_hugetlb(struct hstate *h, struct folio *folio, int nr);
unsigned long __lwk_hugetlb_surplus(struct hstate *h);
bool __lwk_covers(struct mm_struct *mm, unsigned long pages);
unsigned long __lwk_committable(struct mm_struct *mm);

enum lwk_pages { LWK_TOTAL, LWK_FREE };
unsigned long lwk_pages(int nid, enum lwk_pages which);

static inline bool lwk_memory_used(void)
{
	return static_branch_unlikely(&lwk_memory);
}
void __lwk_mm_init(struct mm_struct *mm);
void __lwk_mm_drop(struct mm_struct *mm);

/* Nobody refers to 2^@order pages any more. Have they gone to a pool? */
static inline bool lwk_free_pages(struct page *page, unsigned int order)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_free_pages(page, order);
}

/*
 * A page of memory is bad. True if it was free in a pool, which does not give it to anybody any more; it is marked then.
 * One in use is left to the ordinary way, and its pool is told not to expect it back.
 */
static inline bool lwk_poisoned(struct page *page)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_poisoned(page);
}

/*
 * Linux takes a page out of service that it has emptied and given back. Does its pool not give it to anybody any more? It
 * does if somebody got it in the meantime.
 */
static inline bool lwk_retire_free(struct page *page)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_retire_free(page);
}

/* It has emptied it, and does not give it back. */
static inline void lwk_retire_used(struct page *page)
{
	if (static_branch_unlikely(&lwk_memory))
		__lwk_retire_used(page);
}

/* Do the pages belong to a pool? */
static inline bool lwk_folio(const struct folio *folio)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_folio(folio);
}

/* Takes pages for a mapping of a job from its pools, from @nid or near it; NULL if Linux must give some. */
static inline struct folio *lwk_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
					    unsigned long addr, int nid, const nodemask_t *nodes)
{
	return static_branch_unlikely(&lwk_memory) ?
	       __lwk_alloc_folio(gfp, order, vma, addr, nid, nodes) : NULL;
}

/*
 * The same for a page of a file in memory that a mapping is the first to touch, with the policy of the file and the index
 * that interleaving goes by.
 */
static inline struct folio *lwk_alloc_shared(gfp_t gfp, int order, struct vm_area_struct *vma,
					     struct mempolicy *policy, pgoff_t index)
{
	return static_branch_unlikely(&lwk_memory) && vma && READ_ONCE(vma->vm_mm->lwk) ?
	       __lwk_alloc_shared(gfp, order, vma, policy, index) : NULL;
}

/* Takes a page of a size of hugetlbfs from the pools of the calling process, not referred to yet, or NULL. */
static inline struct folio *lwk_alloc_hugetlb(struct hstate *h, gfp_t gfp, int nid)
{
	return static_branch_unlikely(&lwk_memory) && current->mm && READ_ONCE(current->mm->lwk) ?
	       __lwk_alloc_hugetlb(h, gfp, nid) : NULL;
}

/* Does a file in memory take a huge page where this mapping touches it? */
static inline bool lwk_takes_huge(struct vm_area_struct *vma, struct inode *inode, pgoff_t index)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(vma->vm_mm->lwk) &&
	       __lwk_takes_huge(vma, inode, index);
}

/* Sorts a list of free pages of hugetlbfs, under its lock, for the calling process. */
static inline void lwk_own_hugetlb_first(struct list_head *list)
{
	if (static_branch_unlikely(&lwk_memory))
		__lwk_own_hugetlb_first(list);
}

/* The same for all lists of a size, of which a page is about to be given up: one of a reservation, if @surplus. */
static inline void lwk_free_own_hugetlb(struct hstate *h, bool surplus)
{
	if (static_branch_unlikely(&lwk_memory))
		__lwk_free_own_hugetlb(h, surplus);
}

/* @nr pages more of hugetlbfs are there, under its lock. */
static inline void lwk_count_hugetlb(struct hstate *h, struct folio *folio, int nr)
{
	if (static_branch_unlikely(&lwk_memory))
		__lwk_count_hugetlb(h, folio, nr);
}

/* Surplus pages that are of pools, and not of what Linux may have of them. */
static inline unsigned long lwk_hugetlb_surplus(struct hstate *h)
{
	return static_branch_unlikely(&lwk_memory) ? __lwk_hugetlb_surplus(h) : 0;
}

/* Has a mapping of @pages more than Linux has room in the job's promise? */
static inline bool lwk_covers(struct mm_struct *mm, unsigned long pages)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_covers(mm, pages);
}

/* Pages that can be mapped beside those of Linux, where there must be one for each that is mapped. */
static inline unsigned long lwk_committable(struct mm_struct *mm)
{
	return static_branch_unlikely(&lwk_memory) ? __lwk_committable(mm) : 0;
}

/*
 * @nr pages more of @folio are mapped by @vma. A macro, as this header does not know what a mapping is. Not all who come by
 * here have locked the mapping; VM_LWK, unlike other flags, never changes.
 */
#define lwk_count_pages(vma, folio, nr)					\
do {									\
	if (static_branch_unlikely(&lwk_memory) &&				\
	    READ_ONCE((vma)->vm_flags) & VM_LWK)				\
		__lwk_count_pages(vma, folio, nr);			\
} while (0)

/* Does a new folio hold zeroes already? Its user asks once. */
static inline bool lwk_zeroed(struct folio *folio)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_zeroed(folio);
}

/* Linux gave @folio, or nothing, to a job. */
static inline void lwk_spilled(struct vm_area_struct *vma, struct folio *folio)
{
	if (static_branch_unlikely(&lwk_memory) && folio)
		__lwk_spilled(vma, folio);
}

/* Is a range of a mapping to be backed at once? The caller has locked @mm. */
static inline bool lwk_populates(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk) && __lwk_populates(mm, addr, len);
}

/* Should a new mapping of the calling process begin where a huge page can? */
static inline bool lwk_aligns(vm_flags_t flags, unsigned long len)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_aligns(flags, len);
}

/* May an address space have so many more pages that can be written to? */
static inline bool lwk_permits(struct mm_struct *mm, vm_flags_t flags, unsigned long pages)
{
	return !static_branch_unlikely(&lwk_memory) || !READ_ONCE(mm->lwk) || __lwk_permits(mm, flags, pages);
}

/* Does MADV_DONTNEED do nothing? */
static inline bool lwk_keeps(struct mm_struct *mm)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk) && __lwk_keeps(mm);
}

/* The VM_* of a new mapping, where mmap() was called with @flags. */
static inline vm_flags_t lwk_map_flags(vm_flags_t vm_flags, unsigned long flags)
{
	return static_branch_unlikely(&lwk_memory) ? __lwk_map_flags(vm_flags, flags) : vm_flags;
}

/* The MAP_* of a new mapping: without MAP_HUGETLB, and rounded up, if the job has such pages itself. */
static inline unsigned long lwk_hugetlb_flags(unsigned long flags, unsigned long addr,
					      unsigned long *len)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(current->mm->lwk) ?
	       __lwk_hugetlb_flags(flags, addr, len) : flags;
}

/*
 * The heap is to end at @brk: from where to where is it to be mapped? It takes more than that, so that it grows in few
 * steps, and keeps the rest of a huge page where it shrinks.
 */
static inline void lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long *old,
			   unsigned long *new)
{
	if (static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk))
		__lwk_brk(mm, brk, old, new);
}

/* Has a heap that shrank to @brk been kept up to @end? */
#define lwk_brk_keeps(brk, end)		((end) > PAGE_ALIGN(brk))

/* The heap could not grow to @new: can it do with less? */
static inline bool lwk_brk_less(unsigned long brk, unsigned long *new)
{
	return static_branch_unlikely(&lwk_memory) && __lwk_brk_less(brk, new);
}

/* What is kept of a heap that shrank from @old, up to @end, must be zero if it grows again. */
static inline void lwk_brk_clear(struct mm_struct *mm, unsigned long old, unsigned long end)
{
	if (static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk))
		__lwk_brk_clear(mm, old, end);
}

static inline void lwk_brk_done(struct mm_struct *mm, unsigned long end)
{
	mm->lwk_heap_end = end;
}

/* The heap of a new program begins where a huge page can. */
static inline void lwk_align_heap(struct mm_struct *mm)
{
	if (static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk))
		__lwk_align_heap(mm);
}

/* How large the stack of a new program is to be mapped; its limit is @limit. */
static inline unsigned long lwk_stack_expand(struct mm_struct *mm, unsigned long usual,
					     unsigned long limit)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk) ?
	       __lwk_stack_expand(mm, usual, limit) : usual;
}

/* Pages of pools among those of an address space. */
static inline unsigned long lwk_mm_pages(struct mm_struct *mm)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk) ? __lwk_mm_pages(mm) : 0;
}

/* Pages of pools among those of a process. */
static inline unsigned long lwk_task_pages(struct task_struct *p)
{
	return static_branch_unlikely(&lwk_memory) ? __lwk_task_pages(p) : 0;
}

/* Has the job of an address space memory of its own? */
static inline bool lwk_has_pool(struct mm_struct *mm)
{
	return static_branch_unlikely(&lwk_memory) && READ_ONCE(mm->lwk);
}

/* Locking a range was too much: does it need no lock, as it is of a pool and stays where it is? */
static inline bool lwk_stays(unsigned long start, size_t len, vm_flags_t flags)
{
	return lwk_has_pool(current->mm) && __lwk_stays(start, len, flags);
}

/* mlockall() begins. */
static inline void lwk_lock_all(int flags)
{
	if (lwk_has_pool(current->mm))
		__lwk_lock_all(flags);
}

/* The flags that mlockall() sets for a mapping. */
#define lwk_needs_lock(vma, flags)					\
	(lwk_has_pool((vma)->vm_mm) && (flags) ? __lwk_needs_lock(vma, flags) : (flags))

/* Pages that mlockall() locks if all of an address space is too much, or no number at all. */
static inline unsigned long lwk_locked_pages(struct mm_struct *mm)
{
	return lwk_has_pool(mm) ? __lwk_locked_pages(mm) : ULONG_MAX;
}

/* The flags of a new mapping: unlocked if that is too much and it is going to be of a pool. */
#define lwk_lock_flags(mm, file, flags, len)				\
	(lwk_has_pool(mm) && !(file) && (flags) & VM_LOCKED ?		\
	 __lwk_lock_flags(mm, flags, len) : (flags))

/**
 * struct lwk_mm - what else an address space carries for the LWK, behind its CPU masks, which are behind &struct mm_struct
 * @pages: pages of pools that it maps
 * @plain: the memory policy of its job is not for it
 */
struct lwk_mm {
	atomic_long_t pages;
	bool plain;
};

static inline unsigned int lwk_mm_size(void)
{
	return sizeof(struct lwk_mm);
}

/* Of any address space that was allocated. */
static inline struct lwk_mm *lwk_mm(struct mm_struct *mm)
{
	return (void *)mm + sizeof(*mm) + cpumask_size() + mm_cid_size();
}

/* A program begins that has more rights than the user who started it: his memory policy is not for it. */
static inline void lwk_plain(struct mm_struct *mm)
{
	lwk_mm(mm)->plain = true;
}

/* A new address space belongs to the job of the task that makes it, if any. */
static inline void lwk_mm_init(struct mm_struct *mm)
{
	mm->lwk = NULL;
	lwk_mm(mm)->plain = false;
	atomic_long_set(&lwk_mm(mm)->pages, 0);
	if (static_branch_unlikely(&lwk_memory) && current->lwk.job)
		__lwk_mm_init(mm);
}

/* Nobody refers to the address space any more. */
static inline void lwk_mm_drop(struct mm_struct *mm)
{
	if (READ_ONCE(mm->lwk))
		__lwk_mm_drop(mm);
}

#else /* !CONFIG_LWK */

static inline bool lwk_free_pages(struct page *page, unsigned int order) { return false; }
static inline bool lwk_folio(const struct folio *folio) { return false; }
static inline bool lwk_poisoned(struct page *page) { return false; }
static inline bool lwk_retire_free(struct page *page) { return false; }
static inline void lwk_retire_used(struct page *page) { }
static inline struct folio *lwk_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
					    unsigned long addr, int nid,
					    const nodemask_t *nodes) { return NULL; }
static inline struct folio *lwk_alloc_shared(gfp_t gfp, int order, struct vm_area_struct *vma,
					     struct mempolicy *policy,
					     pgoff_t index) { return NULL; }
static inline struct folio *lwk_alloc_hugetlb(struct hstate *h, gfp_t gfp,
					      int nid) { return NULL; }
static inline bool lwk_takes_huge(struct vm_area_struct *vma, struct inode *inode,
				  pgoff_t index) { return false; }
static inline void lwk_own_hugetlb_first(struct list_head *list) { }
static inline void lwk_free_own_hugetlb(struct hstate *h, bool surplus) { }
static inline void lwk_count_hugetlb(struct hstate *h, struct folio *folio, int nr) { }
static inline unsigned long lwk_hugetlb_surplus(struct hstate *h) { return 0; }
static inline bool lwk_covers(struct mm_struct *mm, unsigned long pages) { return false; }
static inline unsigned long lwk_committable(struct mm_struct *mm) { return 0; }
#define lwk_count_pages(vma, folio, nr)			do { } while (0)
static inline bool lwk_zeroed(struct folio *folio) { return false; }
static inline void lwk_spilled(struct vm_area_struct *vma, struct folio *folio) { }
static inline bool lwk_populates(struct mm_struct *mm, unsigned long addr,
				 unsigned long len) { return false; }
static inline bool lwk_aligns(vm_flags_t flags, unsigned long len) { return false; }
static inline bool lwk_permits(struct mm_struct *mm, vm_flags_t flags,
			       unsigned long pages) { return true; }
static inline bool lwk_keeps(struct mm_struct *mm) { return false; }
static inline vm_flags_t lwk_map_flags(vm_flags_t vm_flags,
				       unsigned long flags) { return vm_flags; }
static inline unsigned long lwk_hugetlb_flags(unsigned long flags, unsigned long addr,
					      unsigned long *len) { return flags; }
static inline void lwk_brk(struct mm_struct *mm, unsigned long brk, unsigned long *old,
			   unsigned long *new) { }
#define lwk_brk_keeps(brk, end)				false
static inline bool lwk_brk_less(unsigned long brk, unsigned long *new) { return false; }
static inline void lwk_brk_clear(struct mm_struct *mm, unsigned long old, unsigned long end) { }
static inline void lwk_brk_done(struct mm_struct *mm, unsigned long end) { }
static inline void lwk_align_heap(struct mm_struct *mm) { }
static inline unsigned long lwk_stack_expand(struct mm_struct *mm, unsigned long usual,
					     unsigned long limit) { return usual; }
static inline unsigned long lwk_mm_pages(struct mm_struct *mm) { return 0; }
static inline unsigned long lwk_task_pages(struct task_struct *p) { return 0; }
static inline bool lwk_has_pool(struct mm_struct *mm) { return false; }
static inline bool lwk_stays(unsigned long start, size_t len, vm_flags_t flags) { return false; }
static inline void lwk_lock_all(int flags) { }
#define lwk_needs_lock(vma, flags)			(flags)
static inline unsigned long lwk_locked_pages(struct mm_struct *mm) { return ULONG_MAX; }
static inline vm_flags_t lwk_lock_flags(struct mm_struct *mm, struct file *file, vm_flags_t flags,
					unsigned long len) { return flags; }
static inline unsigned int lwk_mm_size(void) { return 0; }
static inline void lwk_plain(struct mm_struct *mm) { }
static inline bool lwk_job_maps(struct folio *folio) { return false; }
enum lwk_pages { LWK_TOTAL, LWK_FREE };
static inline bool lwk_memory_used(void) { return false; }
static inline unsigned long lwk_pages(int nid, enum lwk_pages which) { return 0; }
static inline void lwk_mm_init(struct mm_struct *mm) { }
static inline void lwk_mm_drop(struct mm_struct *mm) { }

#endif /* CONFIG_LWK */
#endif /* _LINUX_LWK_MM_H */
