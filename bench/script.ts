/**
 * What runs in a guest, and how the host follows it: a shell script that says on its console where each row begins
 * and ends. The host notes when those words arrive, so all machines are measured by the same clock, and none by its
 * own.
 */
import type { Work } from './rows.ts';

const WORD = 'ringone-bench:';

/** A marker that has arrived: `init`, `begin NAME`, `end NAME`, `done`. */
export type Marker =
  | { readonly kind: 'init' | 'done' }
  | { readonly kind: 'begin'; readonly row: string }
  | { readonly kind: 'end'; readonly row: string; readonly answer: string };

/**
 * The `/init` of a guest. Before the rows it fills so much of its memory once and lets it go: only when a guest has
 * touched what it was given can one tell what its host needs beyond that.
 */
export function guestScript(work: readonly Work[], fillMib: number): string {
  const fill = `dd if=/dev/zero of=/tmp/fill bs=1M count=${fillMib} 2>/dev/null\nrm /tmp/fill`;
  return `#!/bin/sh
/bin/busybox echo ${WORD} init
export PATH=/bin BIN=/bin BUSYBOX=/bench/input PROGRAMS=/bench
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=95% tmpfs /tmp
${fillMib > 0 ? fill : ''}
${rowLines(work)}
poweroff -f
`;
}

/** The same rows on this machine itself, in a directory with links to busybox's commands. */
export function nativeScript(work: readonly Work[], places: NativePlaces): string {
  return `export PATH='${places.bin}' BIN='${places.bin}' BUSYBOX='${places.busybox}' PROGRAMS='${places.programs}'
${rowLines(work)}
`;
}

export interface NativePlaces {
  readonly bin: string;
  readonly busybox: string;
  readonly programs: string;
}

function rowLines(work: readonly Work[]): string {
  const lines = work.map(({ name, line }) => `echo ${WORD} begin ${name}\n${line}\necho ${WORD} end ${name}`);
  return [...lines, `echo ${WORD} done`].join('\n');
}

/** Finds the markers in a console's text as it arrives. What stands between `begin` and `end` is the answer. */
export class MarkerReader {
  private line = '';
  private answer: string[] = [];

  /** The markers that this piece of text completes. */
  read(text: string): Marker[] {
    const lines = (this.line + text).split('\n');
    this.line = lines.pop()!;
    return lines.flatMap((line) => this.readLine(line.trim()));
  }

  private readLine(line: string): Marker[] {
    // The kernel may have written before it in the same line.
    const at = line.indexOf(WORD);
    if (at < 0) {
      if (line !== '') this.answer.push(line);
      return [];
    }
    const [kind, row = ''] = line
      .slice(at + WORD.length)
      .trim()
      .split(' ');
    switch (kind) {
      case 'init':
      case 'done':
        return [{ kind }];
      case 'begin':
        this.answer = [];
        return [{ kind, row }];
      case 'end':
        // A message of the kernel's may have come between; it begins with its time.
        return [{ kind, row, answer: this.answer.filter((said) => !said.startsWith('[')).join(' ') }];
      default:
        return [];
    }
  }
}
