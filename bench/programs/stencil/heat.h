/* SPDX-License-Identifier: GPL-2.0 */
/* Heat on a plate: explicit Euler steps of the 5-point stencil, shared by the parallel versions. */
#ifndef HEAT_H
#define HEAT_H

#include <stdint.h>

/* Rows `first` to `last` - 1 of a plate of `width` columns, each with its neighbours above and below. */
struct heat_rows {
	int width;
	int first;
	int last;
};

/* Memory for that many doubles, zeroed; ends the program if there is none. */
double *heat_room(int rows, int width);

/* The plate before the first step: hot edges above and left, a warm spot, a cold rest. */
double heat_start(int row, int column, int rows, int width);

/* One step for the inner columns of the rows; row 0 of `from` and `to` is row 0 of the plate or part. */
void heat_step(const struct heat_rows *rows, const double *from, double *to);

/* The same on one CPU from start to end; returns the final plate. */
double *heat_serial(int rows, int width, int steps);

/* A checksum of the exact bits (FNV-1a). */
uint64_t heat_checksum(const double *plate, int rows, int width);

/* Prints the result; returns its checksum. */
uint64_t heat_report(const double *plate, int rows, int width, int steps);

/* Says whether a serial run gives that checksum too; the exit status. */
int heat_compare(uint64_t checksum, int rows, int width, int steps);

#endif /* HEAT_H */
