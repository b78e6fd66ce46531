/*
 * The sieve of Eratosthenes over the numbers below two million, one byte each, as often as asked: integers, branches,
 * stores.
 */
#include "freestanding.h"

enum { LIMIT = 2000000 };

static unsigned char composite[LIMIT];

unsigned run(unsigned amount)
{
    unsigned primes = 0;
    while (amount--) {
        for (unsigned i = 0; i < LIMIT; i++)
            composite[i] = 0;
        primes = 0;
        for (unsigned i = 2; i < LIMIT; i++) {
            if (composite[i])
                continue;
            primes++;
            for (unsigned multiple = 2 * i; multiple < LIMIT; multiple += i)
                composite[multiple] = 1;
        }
        __asm__ volatile("" : : : "memory"); /* every sieve is computed */
    }
    return primes;
}
