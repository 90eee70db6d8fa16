/*
 * What a parallel program says to all of its parts: every rank sends each other one a block
 * that only the two know, all add up their numbers, and rank 0 prints how many there were, on
 * how many machines. Exit status 1: a block was not what it should be.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536

static unsigned char byte_of(int from, int to, int i)
{
	return (unsigned char)(from * 31 + to * 57 + i);
}

static int exchange(int rank, int ranks)
{
	unsigned char *out = malloc((size_t)ranks * BLOCK), *in = malloc((size_t)ranks * BLOCK);
	int wrong = !out || !in;

	for (int r = 0; !wrong && r < ranks; r++)
		for (int i = 0; i < BLOCK; i++)
			out[r * BLOCK + i] = byte_of(rank, r, i);
	if (!wrong)
		MPI_Alltoall(out, BLOCK, MPI_BYTE, in, BLOCK, MPI_BYTE, MPI_COMM_WORLD);
	for (int r = 0; !wrong && r < ranks; r++)
		for (int i = 0; i < BLOCK; i++)
			wrong |= in[r * BLOCK + i] != byte_of(r, rank, i);
	free(out);
	free(in);
	return wrong;
}

int main(int argc, char **argv)
{
	char name[MPI_MAX_PROCESSOR_NAME] = "", *names;
	int rank, ranks, len, sum, wrong, machines = 0;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	MPI_Get_processor_name(name, &len);
	names = calloc((size_t)ranks, sizeof(name));
	MPI_Gather(name, sizeof(name), MPI_CHAR, names, sizeof(name), MPI_CHAR, 0, MPI_COMM_WORLD);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	wrong = exchange(rank, ranks) || sum != ranks * (ranks - 1) / 2;
	for (int i = 0; !rank && i < ranks; i++) {
		int k = 0;

		while (strcmp(names + k * (int)sizeof(name), names + i * (int)sizeof(name)) != 0)
			k++;
		machines += k == i;
	}
	if (!rank && !wrong)
		printf("%d ranks on %d machines\n", ranks, machines);
	free(names);
	MPI_Finalize();
	return wrong;
}
