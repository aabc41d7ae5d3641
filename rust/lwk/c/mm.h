/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the shim that are about memory of jobs have in common. */
#ifndef _LWK_MM_H
#define _LWK_MM_H

#include <linux/mm.h>

/* Mappings that take memory of their job, and not of others or none until they are touched. */
static inline bool lwk_takes(vm_flags_t flags)
{
	const vm_flags_t mask = VM_LWK | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB;

	return (flags & mask) == (VM_LWK | VM_WRITE);
}

/* Private memory without a file: each page of it came from the pools of its job, or Linux gave it instead. */
static inline bool lwk_private(struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_LWK | VM_SHARED | VM_HUGETLB)) == VM_LWK &&
	       vma_is_anonymous(vma) && !(vma->vm_flags & VM_SPECIAL);
}

void lwk_clear_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);

#endif /* _LWK_MM_H */
