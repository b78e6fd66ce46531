/** Modules of a pulled kernel, as files of its guest. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { PulledGuest } from '../../src/cli/pull.ts';
import { type CpioEntry, cpio } from '../../src/index.ts';

/** Puts modules (`lib/crc-itu-t`) into the directory `modules`. Some kernels come with theirs packed by xz; `insmod` takes both. */
export async function moduleFiles(guest: PulledGuest, names: readonly string[]): Promise<CpioEntry[]> {
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(guest.modules, 'kernel', `${name}.ko`);
      const plain = await readFile(path).catch(() => undefined);
      const file = plain === undefined ? `${path}.xz` : path;
      return cpio.file(`modules/${basename(file)}`, plain ?? (await readFile(file)));
    }),
  );
  return [cpio.directory('modules'), ...files];
}
