/**
 * A progress bar for a person who waits: one line on stderr that redraws itself, or plain lines where that is
 * no terminal.
 */

export interface Progress {
  /** Shows `label`, and the fraction done (0 to 1) where it is known. */
  show(label: string, fraction?: number): void;
  /** Takes the bar away. */
  clear(): void;
}

export const noProgress: Progress = { show() {}, clear() {} };

const barCells = 30;

/**
 * A bar on `stream`. Where that is not a terminal, each new label is a line of its own and fractions are not
 * shown.
 */
export function progressBar(stream: NodeJS.WriteStream = process.stderr): Progress {
  let lastLabel = '';
  if (!stream.isTTY) {
    return {
      show(label) {
        if (label !== lastLabel) stream.write(`${(lastLabel = label)}\n`);
      },
      clear() {},
    };
  }
  return {
    show(label, fraction) {
      const line = fraction === undefined ? label : `${bar(fraction)} ${label}`;
      stream.write(`\r\x1b[K${line.slice(0, Math.max(20, stream.columns - 1))}`);
    },
    clear() {
      stream.write('\r\x1b[K');
    },
  };
}

function bar(fraction: number): string {
  const filled = Math.round(fraction * barCells);
  const percent = String(Math.floor(fraction * 100)).padStart(3);
  return `[${'#'.repeat(filled)}${'.'.repeat(barCells - filled)}] ${percent}%`;
}
