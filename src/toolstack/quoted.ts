/**
 * Text that somebody else wrote, inside a message of ours: a kernel's notes, a guest's paths, a line of a configuration.
 * Shown as it is, it could end our line, move the cursor, or pass its own words off as ours.
 */

/** Longer texts are cut: a message is one line that a person reads. */
const LONGEST = 120;
/** Of these JSON escapes only the first 32: control characters, marks without a shape, other line ends. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text as it is, but what is not to be seen written as `\u000a`, and cut: for a word that the user gave us. */
export function oneLine(text: string): string {
  return escaped(cut(text));
}

/** The text in double quotes, what is not to be seen written as `\n` or `\u001b`, its end replaced by `…` if it is long. */
export function quoted(text: string): string {
  return escaped(JSON.stringify(cut(text)));
}

/** The text without quotes around it: for names in a report, which are words in most cases. */
export function printable(text: string): string {
  return quoted(text).slice(1, -1);
}

/** A value of any shape as JSON has it, escaped and cut as in `quoted`. */
export function quotedValue(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  return cut(escaped(JSON.stringify(value)));
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function escaped(text: string): string {
  return text.replace(INVISIBLE, (char) => {
    const digits = char.codePointAt(0)!.toString(16);
    return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits.padStart(4, '0')}`;
  });
}
