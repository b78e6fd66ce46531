/**
 * What v86 runs, from Debian's i386 archive: the 686 kernel, a 32-bit busybox, and a BIOS. The machine's own apt is
 * left as it is: no foreign architecture is added to it. Instead apt gets a configuration of its own, with its lists
 * in our cache, which takes no root.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AptError, updateLists } from '../../src/cli/apt.ts';
import { defaultCacheDirectory } from '../../src/cli/cache.ts';
import { PullError, pullPackages } from '../../src/cli/pull.ts';

const KERNEL = { prefix: 'linux-image-6.1.0-', pattern: /^linux-image-6\.1\.0-\d+-686-unsigned$/ };
const BUSYBOX = { prefix: 'busybox-static', pattern: /^busybox-static$/ };
const BIOS = { prefix: 'seabios', pattern: /^seabios$/ };

export interface Debian32 {
  readonly kernel: string;
  readonly kernelVersion: string;
  readonly busybox: string;
  readonly bios: string;
  readonly vgaBios: string;
}

/** Brings these packages into the cache, unpacked. Raises PullError or AptError with one line. */
export async function pullDebian32(say: (line: string) => void): Promise<Debian32> {
  const cacheDir = join(defaultCacheDirectory(), 'i386');
  const outer = process.env.APT_CONFIG;
  process.env.APT_CONFIG = await writeAptConfiguration(join(cacheDir, '.apt'));
  try {
    const pull = () => pullPackages("v86's guest", [KERNEL, BUSYBOX, BIOS], { cacheDir, notice: say });
    const [kernel, busybox, bios] = await pull().catch(async (error) => {
      if (!(error instanceof PullError)) throw error;
      say("fetching the lists of Debian's i386 packages");
      // Some list may be out of step on its server; what the others name may do.
      await updateLists().catch((failure: unknown) => {
        if (!(failure instanceof AptError)) throw failure;
      });
      return pull();
    });
    const boot = join(kernel!.directory, 'boot');
    const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
    if (image === undefined) throw new AptError(`${boot}: expected a file vmlinuz-*, found none`);
    const firmware = join(bios!.directory, 'usr/share/seabios');
    return {
      kernel: join(boot, image),
      kernelVersion: `Debian's Linux ${kernel!.version} (686)`,
      busybox: join(busybox!.directory, 'bin/busybox'),
      bios: join(firmware, 'bios.bin'),
      vgaBios: join(firmware, 'vgabios-stdvga.bin'),
    };
  } finally {
    if (outer === undefined) delete process.env.APT_CONFIG;
    else process.env.APT_CONFIG = outer;
  }
}

/** A configuration under which apt knows i386 only and keeps everything in `directory` (apt.conf(5)). */
async function writeAptConfiguration(directory: string): Promise<string> {
  await mkdir(join(directory, 'lists/partial'), { recursive: true });
  await mkdir(join(directory, 'cache/archives/partial'), { recursive: true });
  const status = join(directory, 'status');
  await writeFile(status, '', { flag: 'a' });
  const file = join(directory, 'apt.conf');
  const lines = [
    'APT::Architecture "i386";',
    'APT::Architectures { "i386"; };',
    `Dir::State "${directory}";`,
    `Dir::State::status "${status}";`,
    `Dir::Cache "${join(directory, 'cache')}";`,
    'Acquire::Languages "none";',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}
