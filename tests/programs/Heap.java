// SPDX-License-Identifier: GPL-2.0
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Makes a collector work: objects that live short, long and in between, in two threads. */
public final class Heap {
    private static final int THREADS = 2;

    private Heap() {}

    private static long churn(long seed, int rounds) {
        long state = seed;
        long sum = 0;
        List<byte[]> kept = new ArrayList<>();
        Map<Integer, String> names = new HashMap<>();
        for (int round = 0; round < rounds; round++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            int size = (int) (state >>> 40) % 4096 + 1;
            byte[] block = new byte[size];
            block[size - 1] = (byte) round;
            if (round % 16 == 0) {
                kept.add(block);
            }
            if (kept.size() > 4000) {
                kept.subList(0, 2000).clear();
            }
            names.put((int) (state >>> 50), "name " + size);
            sum += block[size - 1];
        }
        for (byte[] block : kept) {
            sum = sum * 31 + block.length;
        }
        for (String name : names.values()) {
            sum += name.hashCode();
        }
        return sum;
    }

    public static void main(String[] args) throws InterruptedException {
        int rounds = args.length > 0 ? Integer.parseInt(args[0]) : 100000;
        long[] sums = new long[THREADS];
        Thread[] threads = new Thread[THREADS];
        for (int nr = 0; nr < THREADS; nr++) {
            int mine = nr;
            threads[nr] = new Thread(() -> sums[mine] = churn(mine + 1, rounds));
            threads[nr].start();
        }
        for (int nr = 0; nr < THREADS; nr++) {
            threads[nr].join();
            System.out.printf("thread %d: %016x%n", nr, sums[nr]);
        }
    }
}
