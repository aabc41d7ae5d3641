// SPDX-License-Identifier: GPL-2.0
/*
 * stencil-threads THREADS ROWS WIDTH STEPS [compare]: heat on a plate with POSIX threads and a barrier after each step;
 * with `compare` also serially, to see that the results are equal bit by bit.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heat.h"

#define MOST_THREADS 256

struct worker {
	pthread_t thread;
	struct heat_rows rows;
	double *plates[2];
	int steps;
	pthread_barrier_t *barrier;
};

static void *work(void *argument)
{
	const struct worker *worker = argument;

	for (int step = 0; step < worker->steps; step++) {
		heat_step(&worker->rows, worker->plates[step % 2], worker->plates[(step + 1) % 2]);
		pthread_barrier_wait(worker->barrier);
	}
	return NULL;
}

static int start(struct worker *worker, int number, int threads, int rows)
{
	int inner = rows - 2;

	worker->rows.first = 1 + (int)((long)inner * number / threads);
	worker->rows.last = 1 + (int)((long)inner * (number + 1) / threads);
	/* The first share is for the thread that is here already. */
	return number ? pthread_create(&worker->thread, NULL, work, worker) : 0;
}

static uint64_t run(int threads, int rows, int width, int steps)
{
	static struct worker workers[MOST_THREADS];
	double *plates[2] = { heat_room(rows, width), heat_room(rows, width) };
	pthread_barrier_t barrier;
	uint64_t checksum;

	for (int row = 0; row < rows; row++)
		for (int i = 0; i < width; i++)
			plates[0][(size_t)row * width + i] = heat_start(row, i, rows, width);
	memcpy(plates[1], plates[0], (size_t)rows * width * sizeof(*plates[1]));
	if (pthread_barrier_init(&barrier, NULL, threads)) {
		fputs("stencil-threads: no barrier\n", stderr);
		exit(2);
	}
	for (int i = 0; i < threads; i++) {
		workers[i] = (struct worker){ .rows.width = width, .plates = { plates[0], plates[1] },
					      .steps = steps, .barrier = &barrier };
		if (start(&workers[i], i, threads, rows)) {
			fputs("stencil-threads: no more threads\n", stderr);
			exit(2);
		}
	}
	work(&workers[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	checksum = heat_report(plates[steps % 2], rows, width, steps);
	free(plates[0]);
	free(plates[1]);
	return checksum;
}

int main(int argc, char **argv)
{
	int number[4] = { 0 }, compare = argc == 6 && !strcmp(argv[5], "compare");
	uint64_t checksum;

	for (int i = 0; argc == 5 + compare && i < 4; i++)
		number[i] = atoi(argv[i + 1]);
	if (number[0] < 1 || number[0] > MOST_THREADS || number[1] < 3 || number[2] < 3 || number[3] < 1) {
		fputs("usage: stencil-threads THREADS ROWS WIDTH STEPS [compare]\n", stderr);
		return 2;
	}
	checksum = run(number[0], number[1], number[2], number[3]);
	return compare ? heat_compare(checksum, number[1], number[2], number[3]) : 0;
}
