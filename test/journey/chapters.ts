/**
 * The chapters of docs/journey as text with claims in it: outputs that an example produces, excerpts of sources, files, names
 * within files, links. All of them can be held against the project.
 *
 *     <!-- example: NAME -->       before a block of output: what the example of that name prints
 *     <!-- source: PATH -->        before a block of code: lines of that file, in a row; "…" skips some
 *     `src/path/file.ts`           a file or a folder
 *     `src/path/file.ts: name`     a function, class, method or constant in it
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const folder = join(root, 'docs/journey');

export interface Block {
  readonly chapter: string;
  /** What the comment before it says. */
  readonly kind: 'example' | 'source' | undefined;
  readonly name: string;
  readonly lines: readonly string[];
}

const BLOCK = /(?:<!-- (example|source): (\S+) -->\n)?```\w*\n([\s\S]*?)```\n/g;

export function chapterNames(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .sort();
}

export function chapterText(chapter: string): string {
  return readFileSync(join(folder, chapter), 'utf8');
}

export function blocksOf(chapter: string): Block[] {
  return [...chapterText(chapter).matchAll(BLOCK)].map(([, kind, name, text]) => ({
    chapter,
    kind: kind as Block['kind'],
    name: name ?? '',
    lines: text!.split('\n').slice(0, -1),
  }));
}

/** A chapter with its outputs replaced by what the examples print. */
export function renewed(text: string, outputs: ReadonlyMap<string, readonly string[]>): string {
  return text.replaceAll(BLOCK, (block, kind, name) => {
    const lines = kind === 'example' ? outputs.get(name) : undefined;
    return lines === undefined
      ? block
      : `<!-- example: ${name} -->\n\`\`\`text\n${lines.map((line) => `${line.trimEnd()}\n`).join('')}\`\`\`\n`;
  });
}

/** Whether a block's lines stand in the file, those between two "…" in a row. */
export function isExcerpt({ name, lines }: Block): boolean {
  const path = join(root, name);
  if (!existsSync(path)) return false;
  const source = readFileSync(path, 'utf8');
  let from = 0;
  for (const part of lines.join('\n').split(/^\s*…$/m)) {
    const wanted = part.replace(/^\n|\n$/g, '');
    const at = source.indexOf(wanted, from);
    if (at < 0) return false;
    from = at + wanted.length;
  }
  return true;
}

/** Files, names and links of a chapter that do not exist. */
export function missingIn(chapter: string): string[] {
  const prose = chapterText(chapter).replaceAll(BLOCK, '');
  const missing: string[] = [];
  for (const [, words] of prose.matchAll(/`((?:src|test|scripts|docs|bench)\/[^`]*)`/g)) {
    const [path, name] = words!.split(/:\s/);
    if (!existsSync(join(root, path!))) missing.push(path!);
    else if (name !== undefined && !declares(readFileSync(join(root, path!), 'utf8'), name)) {
      missing.push(`${path}: ${name}`);
    }
  }
  for (const [, target] of prose.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
    if (!existsSync(join(folder, target!))) missing.push(target!);
  }
  return missing;
}

function declares(source: string, name: string): boolean {
  const word = `${name}\\b`;
  const declaration = new RegExp(`\\b(?:function|class|const|let|interface|type)\\s+${word}`);
  const member = new RegExp(`^\\s+(?:(?:private|static|readonly|async|get)\\s+)*${word}[(:]`, 'm');
  return declaration.test(source) || member.test(source);
}
