# SPDX-License-Identifier: GPL-2.0
"""Python's two ways to use several CPUs: threads around C code without the GIL, and a pool of forked processes."""
import hashlib
import multiprocessing
import queue
import sys
import threading

CPUS = 2


def primes_in(bounds):
    """Counts primes by trial division, which keeps the interpreter busy."""
    low, high = bounds
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(low, 2), high))


def digest_chain(seed, length):
    """Hashes a block over and over; hashlib drops the GIL for blocks of this size."""
    block = bytes([seed]) * 65536
    for _ in range(length):
        block = hashlib.sha256(block).digest() * 2048
    return hashlib.sha256(block).hexdigest()


def hash_in_threads(chains, length):
    todo, done = queue.Queue(), {}
    for seed in range(chains):
        todo.put(seed)

    def work():
        while True:
            try:
                seed = todo.get_nowait()
            except queue.Empty:
                return
            done[seed] = digest_chain(seed, length)

    threads = [threading.Thread(target=work) for _ in range(CPUS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return hashlib.sha256("".join(done[seed] for seed in range(chains)).encode()).hexdigest()


def main():
    limit, length = int(sys.argv[1]), int(sys.argv[2])
    step = limit // 10
    with multiprocessing.get_context("fork").Pool(CPUS) as pool:
        counts = pool.map(primes_in, [(low, low + step) for low in range(0, limit, step)], chunksize=1)
        pool.close()
        pool.join()
    print("primes below", limit, sum(counts))
    print("chains", hash_in_threads(8, length))


main()
