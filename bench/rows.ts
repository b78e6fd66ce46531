/**
 * The rows of the benchmark: what each guest does, as a line of shell that means the same in all of them. A line
 * prints one short answer, by which one can see that all machines did the same work.
 *
 * The lines find $BUSYBOX (the file to compress: the amd64 binary everywhere), $BIN (the directory of busybox's
 * commands) and $PROGRAMS (that of the compiled programs), and run under busybox's own shell.
 */

/** Programs of `bench/programs`, by the name of their source. */
export type ProgramName = 'pingpong' | 'matrix' | 'sieve';

export interface Row {
  readonly name: string;
  /** What is done, for the table; `AMOUNT` stands for how often. */
  readonly title: string;
  /** One of the five rows over which the geometric mean is taken. */
  readonly headline: boolean;
  /** Whether the interpreter alone finishes it in half a minute. */
  readonly interpreted: boolean;
  /** How often, and how often under `--quick`. */
  readonly amount: number;
  readonly quickAmount: number;
  /** The line of shell. */
  readonly line: (amount: number) => string;
  /** What has to be compiled for it. */
  readonly program?: ProgramName;
}

/** The row that every machine has: from the start of its process to init's first line. */
export const BOOT = 'boot';
export const BOOT_TITLE = 'process start to the first line of init';

const compiled = (name: ProgramName) => ({ program: name, line: (n: number) => `$PROGRAMS/${name} ${n}` });

export const ROWS: readonly Row[] = [
  {
    name: 'sha256',
    title: 'sha256 of AMOUNT MiB of zeros',
    headline: true,
    interpreted: true,
    amount: 64,
    quickAmount: 8,
    line: (n) => `dd if=/dev/zero bs=1M count=${n} 2>/dev/null | sha256sum`,
  },
  {
    name: 'awk',
    title: 'awk: sum of i·i mod 7, AMOUNT rounds',
    headline: true,
    interpreted: false,
    amount: 3_000_000,
    quickAmount: 300_000,
    line: (n) => `awk 'BEGIN { s = 0; for (i = 0; i < ${n}; i++) s += i * i % 7; print s }'`,
  },
  {
    name: 'bzip2',
    title: 'bzip2 -9 of the busybox binary',
    headline: true,
    interpreted: true,
    amount: 1,
    quickAmount: 1,
    line: () => 'bzip2 -9 -c "$BUSYBOX" | md5sum',
  },
  {
    name: 'fork',
    title: 'fork + exec + wait of /bin/true, AMOUNT times',
    headline: true,
    interpreted: true,
    amount: 1000,
    quickAmount: 200,
    line: (n) => `i=0; while [ $i -lt ${n} ]; do $BIN/true; i=$((i+1)); done; echo $i`,
  },
  {
    name: 'pipe',
    title: 'a byte to another process and back through pipes, AMOUNT times',
    headline: false,
    interpreted: true,
    amount: 20_000,
    quickAmount: 5_000,
    ...compiled('pingpong'),
  },
  {
    name: 'gzip',
    title: 'gzip -9 of the busybox binary, AMOUNT times',
    headline: false,
    interpreted: true,
    amount: 5,
    quickAmount: 2,
    line: (n) => `for i in $(seq ${n}); do gzip -9 -c "$BUSYBOX"; done | md5sum`,
  },
  {
    name: 'shell',
    title: 'a shell loop of arithmetic, AMOUNT rounds',
    headline: false,
    interpreted: true,
    amount: 100_000,
    quickAmount: 20_000,
    line: (n) => `i=0; s=0; while [ $i -lt ${n} ]; do s=$(((s * 31 + i) % 65521)); i=$((i+1)); done; echo $s`,
  },
  {
    name: 'matrix',
    title: 'product of two matrices of 192 × 192 doubles, AMOUNT times',
    headline: false,
    interpreted: true,
    amount: 20,
    quickAmount: 4,
    ...compiled('matrix'),
  },
  {
    name: 'sieve',
    title: 'sieve of Eratosthenes below 2 million, AMOUNT times',
    headline: false,
    interpreted: true,
    amount: 60,
    quickAmount: 10,
    ...compiled('sieve'),
  },
];

/** A row with its amount chosen. */
export interface Work {
  readonly name: string;
  readonly title: string;
  readonly headline: boolean;
  readonly interpreted: boolean;
  readonly program?: ProgramName;
  readonly line: string;
}

/** The rows at their full or their quick amounts. */
export function workOf(rows: readonly Row[], quick: boolean): Work[] {
  return rows.map(({ title, amount, quickAmount, line, ...rest }) => {
    const count = quick ? quickAmount : amount;
    return { ...rest, title: title.replace('AMOUNT', count.toLocaleString('en')), line: line(count) };
  });
}
