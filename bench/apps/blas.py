# SPDX-License-Identifier: GPL-2.0
"""Matrix product and linear solve through NumPy and the OpenMP BLAS, checked with exact integers.

The factors hold small integers, so every partial sum is exact in double precision and the product does not depend on
how the threads shared the work; the solution of the linear system is known beforehand.
"""
import hashlib
import sys

import numpy as np


def main():
    n, rounds = int(sys.argv[1]), int(sys.argv[2])
    rng = np.random.RandomState(1)
    a = rng.randint(-9, 10, (n, n)).astype(np.float64)
    digest = hashlib.sha256()
    b = rng.randint(-9, 10, (n, n)).astype(np.float64)
    for _ in range(rounds):
        c = a @ b
        probe = rng.randint(-9, 10, n)
        want = a.astype(np.int64) @ (b.astype(np.int64) @ probe)
        if not np.array_equal(c.astype(np.int64) @ probe, want):
            sys.exit("product is wrong")
        digest.update(c.tobytes())
        b = np.fmod(c, 10)
    print("product", digest.hexdigest())

    a += np.diag(np.full(n, 20.0 * n))
    known = rng.randint(-99, 100, n)
    x = np.linalg.solve(a, a @ known)
    if np.abs(x - known).max() > 1e-9:
        sys.exit("solution is wrong")
    print("solution", hashlib.sha256(np.rint(x).astype(np.int64).tobytes()).hexdigest())


main()
