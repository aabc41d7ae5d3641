// SPDX-License-Identifier: GPL-2.0
/*
 * stencil-mpi ROWS WIDTH STEPS [compare]: heat on a plate, a strip of rows for each MPI rank, edges exchanged before
 * each step; with `compare` also serially, to see that the results are equal bit by bit.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heat.h"

/* A rank's strip: its rows, with one more above and below that belongs to the neighbour or the edge. */
struct strip {
	int rank;
	int ranks;
	int rows;	/* own ones */
	int above;	/* rows of the plate above them */
	int width;
};

static struct strip cut(int rank, int ranks, int rows, int width)
{
	int inner = rows - 2, first = (int)((long)inner * rank / ranks), next = (int)((long)inner * (rank + 1) / ranks);

	return (struct strip){ .rank = rank, .ranks = ranks, .rows = next - first, .above = 1 + first, .width = width };
}

static void exchange(const struct strip *strip, double *plate)
{
	int width = strip->width, last = strip->ranks - 1;
	int above = strip->rank ? strip->rank - 1 : MPI_PROC_NULL;
	int below = strip->rank < last ? strip->rank + 1 : MPI_PROC_NULL;
	double *bottom = plate + (size_t)strip->rows * width;

	MPI_Sendrecv(plate + width, width, MPI_DOUBLE, above, 0, bottom + width, width, MPI_DOUBLE, below, 0,
		     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	MPI_Sendrecv(bottom, width, MPI_DOUBLE, below, 1, plate, width, MPI_DOUBLE, above, 1, MPI_COMM_WORLD,
		     MPI_STATUS_IGNORE);
}

/* The largest change of the last step anywhere, as programs look at to decide when to stop. */
static double largest_change(const struct strip *strip, const double *from, const double *to)
{
	double mine = 0.0, all = 0.0;

	for (size_t i = strip->width; i < (size_t)(strip->rows + 1) * strip->width; i++) {
		double change = to[i] > from[i] ? to[i] - from[i] : from[i] - to[i];

		if (change > mine)
			mine = change;
	}
	MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
	return all;
}

/* Puts the strips together on rank 0, which reports the whole; all return its checksum. */
static uint64_t report(const struct strip *strip, const double *part, int rows, int steps)
{
	int width = strip->width;
	uint64_t checksum = 0;
	double *plate;

	if (strip->rank) {
		MPI_Send(part + width, strip->rows * width, MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
	} else {
		plate = heat_room(rows, width);
		for (int row = 0; row < rows; row++)
			for (int i = 0; i < width; i++)
				plate[(size_t)row * width + i] = heat_start(row, i, rows, width);
		memcpy(plate + width, part + width, (size_t)strip->rows * width * sizeof(*plate));
		for (int rank = 1; rank < strip->ranks; rank++) {
			struct strip other = cut(rank, strip->ranks, rows, width);

			MPI_Recv(plate + (size_t)other.above * width, other.rows * width, MPI_DOUBLE, rank, 2,
				 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		}
		checksum = heat_report(plate, rows, width, steps);
		free(plate);
	}
	MPI_Bcast(&checksum, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
	return checksum;
}

static uint64_t run(const struct strip *strip, int rows, int steps)
{
	const struct heat_rows own = { .width = strip->width, .first = 1, .last = strip->rows + 1 };
	double *from = heat_room(strip->rows + 2, strip->width), *to = heat_room(strip->rows + 2, strip->width);
	double change = 0.0;
	uint64_t checksum;

	for (int row = 0; row < strip->rows + 2; row++)
		for (int i = 0; i < strip->width; i++)
			from[(size_t)row * strip->width + i] =
				heat_start(strip->above - 1 + row, i, rows, strip->width);
	memcpy(to, from, (size_t)(strip->rows + 2) * strip->width * sizeof(*to));
	for (int step = 0; step < steps; step++) {
		double *kept = from;

		exchange(strip, from);
		heat_step(&own, from, to);
		change = largest_change(strip, from, to);
		from = to;
		to = kept;
	}
	checksum = report(strip, from, rows, steps);
	if (!strip->rank)
		printf("ranks %d\nlast change %.6e\n", strip->ranks, change);
	free(from);
	free(to);
	return checksum;
}

int main(int argc, char **argv)
{
	int number[3] = { 0 }, compare = argc == 5 && !strcmp(argv[4], "compare"), rank, ranks, status = 2;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	for (int i = 0; argc == 4 + compare && i < 3; i++)
		number[i] = atoi(argv[i + 1]);
	if (number[0] < ranks + 2 || number[1] < 3 || number[2] < 1) {
		if (!rank)
			fputs("usage: stencil-mpi ROWS WIDTH STEPS [compare] (a row for each rank and two more)\n", stderr);
	} else {
		struct strip strip = cut(rank, ranks, number[0], number[1]);
		uint64_t checksum = run(&strip, number[0], number[2]);

		status = compare && !rank ? heat_compare(checksum, number[0], number[1], number[2]) : 0;
	}
	MPI_Finalize();
	return status;
}
