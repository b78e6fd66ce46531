/**
 * Files of shell scripts, as `commands.sh` and `kernel.sh` are, and their run by `driver.sh`: on this machine or in a
 * guest. A heading `### name` begins a script; lines `#> text` below it are the output that it should have, and lines
 * `#~ pattern` match one line of it each.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface ShellScript {
  readonly name: string;
  readonly text: string;
  /** A line of the output each. Undefined if the file says nothing about it. */
  readonly expected: readonly (string | RegExp)[] | undefined;
}

export interface ScriptFile {
  /** What stands before the first heading. */
  readonly prologue: string;
  readonly scripts: readonly ShellScript[];
}

/** What a script printed, and its exit status in the last line. */
export type Outputs = ReadonlyMap<string, string>;

const folder = fileURLToPath(new URL('.', import.meta.url));

/** The script that runs scripts. */
export const driver = await readFile(join(folder, 'driver.sh'), 'utf8');

export async function readScripts(file: string): Promise<ScriptFile> {
  const [prologue, ...sections] = (await readFile(join(folder, file), 'utf8')).split(/^### /m);
  const scripts = sections.map((section) => {
    const [name, ...lines] = section.split('\n');
    const expected = lines.flatMap((line): (string | RegExp)[] => {
      if (line.startsWith('#>')) return [line.slice(3)];
      return line.startsWith('#~') ? [new RegExp(`^${line.slice(3)}$`)] : [];
    });
    return { name: name!, text: lines.join('\n'), expected: expected.length > 0 ? expected : undefined };
  });
  return { prologue: prologue!, scripts };
}

/** Names under which the driver runs scripts in their order in the file. */
export function fileNames(scripts: readonly ShellScript[]): Map<string, ShellScript> {
  return new Map(
    scripts.map((script, index) => [`${String(index).padStart(3, '0')}-${script.name}`, script]),
  );
}

/**
 * Finds each script's part in what the driver printed. A script that did not end is not there. When a session that had the
 * console ends, the console is back at its defaults and returns the carriage at each line.
 */
export function outputsOf(printed: string): Outputs {
  const outputs = new Map<string, string>();
  for (const [, name, output, status] of printed
    .replaceAll('\r\n', '\n')
    .matchAll(/^@@@ begin \d+-(\S+)\n([\s\S]*?)@@@ end \d+-\S+ (\d+)$/gm)) {
    outputs.set(name!, `${output}exit status ${status}`);
  }
  return outputs;
}

/** Runs the scripts on this machine with a static busybox, and nothing else in reach. */
export async function runHere(file: ScriptFile, busybox: string): Promise<Outputs> {
  const place = await mkdtemp(join(tmpdir(), 'ringone-scripts-'));
  try {
    for (const directory of ['bin', 'scripts', 'work']) await mkdir(join(place, directory));
    for (const [name, { text }] of fileNames(file.scripts))
      await writeFile(join(place, 'scripts', name), text);
    const run = promisify(execFile);
    await run(busybox, ['--install', '-s', join(place, 'bin')]);
    const { stdout } = await run(
      busybox,
      ['sh', '-c', `${file.prologue}\n${driver}`, 'driver', join(place, 'scripts'), busybox],
      {
        cwd: join(place, 'work'),
        env: { PATH: join(place, 'bin'), HOME: '/', TZ: 'UTC', LC_ALL: 'C' },
        maxBuffer: 1 << 24,
      },
    );
    return outputsOf(stdout);
  } finally {
    await rm(place, { recursive: true });
  }
}
