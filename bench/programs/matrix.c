/* The product of two matrices of 192 by 192 doubles, as often as asked: SSE2 arithmetic in both widths (-mfpmath=sse). */
#include "freestanding.h"

enum { SIZE = 192 };

static double left[SIZE][SIZE], right[SIZE][SIZE], product[SIZE][SIZE];

unsigned run(unsigned amount)
{
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            left[i][j] = (i * 7 + j * 3) % 11 / 4.0;
            right[i][j] = (i * 5 + j * 13) % 17 / 7.0;
        }
    while (amount--)
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++) {
                double sum = 0;
                for (int k = 0; k < SIZE; k++)
                    sum += left[i][k] * right[k][j];
                product[i][j] = sum + product[i][j] / 2;
            }
    double trace = 0;
    for (int i = 0; i < SIZE; i++)
        trace += product[i][i];
    return (unsigned)(int)(trace * 64);
}
