// SPDX-License-Identifier: GPL-2.0
/*
 * cg SIDE STEPS: preconditioned conjugate gradients in the manner of HPCG, with OpenMP.
 *
 * The matrix couples each point of a cube of SIDE^3 points to its up to 26 neighbours: 26 on the diagonal, -1 elsewhere.
 * The right side is such that all ones solve the system. The preconditioner is one symmetric Gauss-Seidel sweep. To run
 * in parallel and yet give the same result with any number of threads, it takes the points in eight colours of which
 * no two equal ones are neighbours, and sums are made from one part per plane.
 *
 * It ends with status 1 if the matrix or the preconditioner is not symmetric, or if the residual does not fall.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NEIGHBOURS 27
#define COLOURS 8
#define DIAGONAL 26.0

/* A cube's matrix, its rows stored one behind the other with room for all neighbours. */
struct matrix {
	int side;
	int rows;
	int *length;		/* of each row */
	int *column;
	double *value;
	int *order;		/* rows by colour */
	int first[COLOURS + 1];	/* where each colour begins in it */
	double *plane;		/* the parts of a sum */
};

static void *room(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory) {
		fputs("cg: out of memory\n", stderr);
		exit(2);
	}
	return memory;
}

static void fill_row(struct matrix *a, int row, int x, int y, int z)
{
	int side = a->side;

	for (int dz = -1; dz <= 1; dz++) {
		for (int dy = -1; dy <= 1; dy++) {
			for (int dx = -1; dx <= 1; dx++) {
				int nx = x + dx, ny = y + dy, nz = z + dz, at;

				if (nx < 0 || ny < 0 || nz < 0 || nx == side || ny == side || nz == side)
					continue;
				at = row * NEIGHBOURS + a->length[row]++;
				a->column[at] = (nz * side + ny) * side + nx;
				a->value[at] = a->column[at] == row ? DIAGONAL : -1.0;
			}
		}
	}
}

static void sort_by_colour(struct matrix *a)
{
	int side = a->side, next = 0;

	for (int colour = 0; colour < COLOURS; colour++) {
		a->first[colour] = next;
		for (int z = colour >> 2; z < side; z += 2)
			for (int y = colour >> 1 & 1; y < side; y += 2)
				for (int x = colour & 1; x < side; x += 2)
					a->order[next++] = (z * side + y) * side + x;
	}
	a->first[COLOURS] = next;
}

static void make_matrix(struct matrix *a, int side)
{
	a->side = side;
	a->rows = side * side * side;
	a->length = room(a->rows, sizeof(*a->length));
	a->column = room((size_t)a->rows * NEIGHBOURS, sizeof(*a->column));
	a->value = room((size_t)a->rows * NEIGHBOURS, sizeof(*a->value));
	a->order = room(a->rows, sizeof(*a->order));
	a->plane = room(side, sizeof(*a->plane));
#pragma omp parallel for schedule(static)
	for (int z = 0; z < side; z++)
		for (int y = 0; y < side; y++)
			for (int x = 0; x < side; x++)
				fill_row(a, (z * side + y) * side + x, x, y, z);
	sort_by_colour(a);
}

static void free_matrix(struct matrix *a)
{
	free(a->length);
	free(a->column);
	free(a->value);
	free(a->order);
	free(a->plane);
}

static double row_times(const struct matrix *a, int row, const double *x)
{
	const int *column = a->column + (size_t)row * NEIGHBOURS;
	const double *value = a->value + (size_t)row * NEIGHBOURS;
	double sum = 0.0;

	for (int i = 0; i < a->length[row]; i++)
		sum += value[i] * x[column[i]];
	return sum;
}

static void times(const struct matrix *a, const double *x, double *out)
{
#pragma omp parallel for schedule(static)
	for (int row = 0; row < a->rows; row++)
		out[row] = row_times(a, row, x);
}

static double inner(const struct matrix *a, const double *x, const double *y)
{
	int area = a->side * a->side;
	double sum = 0.0;

#pragma omp parallel for schedule(static)
	for (int z = 0; z < a->side; z++) {
		double part = 0.0;

		for (int i = z * area; i < (z + 1) * area; i++)
			part += x[i] * y[i];
		a->plane[z] = part;
	}
	for (int z = 0; z < a->side; z++)
		sum += a->plane[z];
	return sum;
}

/* out = x + factor * y */
static void add(const struct matrix *a, const double *x, double factor, const double *y, double *out)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < a->rows; i++)
		out[i] = x[i] + factor * y[i];
}

static void relax(const struct matrix *a, int colour, const double *r, double *z)
{
#pragma omp parallel for schedule(static)
	for (int i = a->first[colour]; i < a->first[colour + 1]; i++) {
		int row = a->order[i];

		z[row] += (r[row] - row_times(a, row, z)) / DIAGONAL;
	}
}

/* z = M^-1 r: a sweep through the colours and one back, from zero. */
static void precondition(const struct matrix *a, const double *r, double *z)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < a->rows; i++)
		z[i] = 0.0;
	for (int colour = 0; colour < COLOURS; colour++)
		relax(a, colour, r, z);
	for (int colour = COLOURS - 1; colour >= 0; colour--)
		relax(a, colour, r, z);
}

/* |x'Fy - y'Fx|, scaled by the sizes of what is subtracted. */
static double asymmetry(const struct matrix *a, void (*f)(const struct matrix *, const double *, double *))
{
	double *x = room(a->rows, sizeof(*x)), *y = room(a->rows, sizeof(*y)), *out = room(a->rows, sizeof(*out));
	double one, other, scale;
	unsigned int state = 1;

	/* Any two vectors without a pattern; the generator is that of the C standard's example. */
	for (int i = 0; i < a->rows; i++) {
		state = state * 1103515245 + 12345;
		x[i] = (state >> 16 & 0x7fff) / 32768.0;
		state = state * 1103515245 + 12345;
		y[i] = (state >> 16 & 0x7fff) / 32768.0;
	}
	f(a, y, out);
	one = inner(a, x, out);
	scale = sqrt(inner(a, out, out) * inner(a, x, x));
	f(a, x, out);
	other = inner(a, y, out);
	free(x);
	free(y);
	free(out);
	return fabs(one - other) / scale;
}

/* Solves a x = b from zero in at most `steps` steps; returns how many it took and how far the residual fell. */
static int solve(const struct matrix *a, const double *b, double *x, int steps, double *fall)
{
	double *r = room(a->rows, sizeof(*r)), *z = room(a->rows, sizeof(*z));
	double *p = room(a->rows, sizeof(*p)), *ap = room(a->rows, sizeof(*ap));
	double start = sqrt(inner(a, b, b)), rz = 0.0;
	int step = 0;

	add(a, b, 0.0, b, r);
	*fall = 1.0;
	while (step < steps && *fall > 1e-12) {
		double before = rz, alpha;

		precondition(a, r, z);
		rz = inner(a, r, z);
		add(a, z, step ? rz / before : 0.0, p, p);
		times(a, p, ap);
		alpha = rz / inner(a, p, ap);
		add(a, x, alpha, p, x);
		add(a, r, -alpha, ap, r);
		*fall = sqrt(inner(a, r, r)) / start;
		step++;
	}
	free(r);
	free(z);
	free(p);
	free(ap);
	return step;
}

static int run(int side, int steps)
{
	struct matrix a;
	double *x, *b, fall, error = 0.0, matrix_off, sweep_off;
	int taken, bad;

	make_matrix(&a, side);
	x = room(a.rows, sizeof(*x));
	b = room(a.rows, sizeof(*b));
	for (int i = 0; i < a.rows; i++)
		b[i] = DIAGONAL - (a.length[i] - 1);
	matrix_off = asymmetry(&a, times);
	sweep_off = asymmetry(&a, precondition);
	taken = solve(&a, b, x, steps, &fall);
	for (int i = 0; i < a.rows; i++)
		error = fmax(error, fabs(x[i] - 1.0));
	printf("rows %d\niterations %d\nresidual %.6e\nerror %.6e\n", a.rows, taken, fall, error);
	/* A few units in the last place for each of the sums' terms, on average. */
	bad = !(matrix_off < 100 * DBL_EPSILON && sweep_off < 100 * DBL_EPSILON);
	printf("symmetry %s\n", bad ? "lost" : "kept");
	if (!(fall < 1e-6 && error < 1e-4)) {
		puts("not converged");
		bad = 1;
	}
	free(x);
	free(b);
	free_matrix(&a);
	return bad;
}

int main(int argc, char **argv)
{
	int side = argc == 3 ? atoi(argv[1]) : 0, steps = argc == 3 ? atoi(argv[2]) : 0;

	if (side < 2 || side > 256 || steps < 1) {
		fputs("usage: cg SIDE STEPS (2 to 256, from 1)\n", stderr);
		return 2;
	}
	return run(side, steps);
}
