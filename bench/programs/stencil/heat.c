// SPDX-License-Identifier: GPL-2.0
/* Heat on a plate: what the parallel versions share, and the serial run that judges them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heat.h"

/* Below 1/4, so that no value leaves the range of its neighbours. */
#define CONDUCTION 0.24

double *heat_room(int rows, int width)
{
	double *memory = calloc((size_t)rows * width, sizeof(*memory));

	if (!memory) {
		fputs("stencil: out of memory\n", stderr);
		exit(2);
	}
	return memory;
}

double heat_start(int row, int column, int rows, int width)
{
	if (row == 0 || column == 0)
		return 1.0;
	if (row == rows - 1 || column == width - 1)
		return 0.0;
	return row > rows / 2 && row < rows * 3 / 4 && column > width / 2 && column < width * 3 / 4 ? 0.5 : 0.0;
}

void heat_step(const struct heat_rows *rows, const double *from, double *to)
{
	for (int row = rows->first; row < rows->last; row++) {
		const double *at = from + (size_t)row * rows->width;
		double *out = to + (size_t)row * rows->width;

		for (int i = 1; i < rows->width - 1; i++) {
			double around = at[i - 1] + at[i + 1] + at[i - rows->width] + at[i + rows->width];

			out[i] = at[i] + CONDUCTION * (around - 4.0 * at[i]);
		}
	}
}

double *heat_serial(int rows, int width, int steps)
{
	const struct heat_rows inner = { .width = width, .first = 1, .last = rows - 1 };
	double *from = heat_room(rows, width), *to = heat_room(rows, width);

	for (int row = 0; row < rows; row++)
		for (int i = 0; i < width; i++)
			from[(size_t)row * width + i] = heat_start(row, i, rows, width);
	memcpy(to, from, (size_t)rows * width * sizeof(*to));
	for (int step = 0; step < steps; step++) {
		double *kept = from;

		heat_step(&inner, from, to);
		from = to;
		to = kept;
	}
	free(to);
	return from;
}

uint64_t heat_checksum(const double *plate, int rows, int width)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < (size_t)rows * width; i++) {
		uint64_t bits;

		memcpy(&bits, &plate[i], sizeof(bits));
		for (int byte = 0; byte < 8; byte++)
			hash = (hash ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3;
	}
	return hash;
}

uint64_t heat_report(const double *plate, int rows, int width, int steps)
{
	uint64_t checksum = heat_checksum(plate, rows, width);
	double sum = 0.0;

	for (size_t i = 0; i < (size_t)rows * width; i++)
		sum += plate[i];
	printf("updates %ld\nmean %.9f\nchecksum %016lx\n", (long)(rows - 2) * (width - 2) * steps,
	       sum / rows / width, (unsigned long)checksum);
	return checksum;
}

int heat_compare(uint64_t checksum, int rows, int width, int steps)
{
	double *serial = heat_serial(rows, width, steps);
	int differs = heat_checksum(serial, rows, width) != checksum;

	free(serial);
	puts(differs ? "NOT as serial" : "as serial");
	return differs;
}
