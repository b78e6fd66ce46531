/** Counts the primes below a number, which keeps the processor busy for as long as one likes. */
import { exit, numberArgument, print, printNumber } from './library';

function isPrime(n: u64): bool {
  for (let i: u64 = 2; i * i <= n; i++) if (n % i === 0) return false;
  return n > 1;
}

export function main(stack: u64): void {
  const end = numberArgument(stack, 1, 20000);
  let count: u64 = 0;
  for (let n: u64 = 0; n < end; n++) if (isPrime(n)) count++;
  printNumber(count);
  print(' primes below ');
  printNumber(end);
  print('\n');
  exit(0);
}
