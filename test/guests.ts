/**
 * Real guests for tests. They come from Debian's packages, into the same cache that `ringone pull` uses, each
 * at most once however many test files ask. Where they cannot be had a test is skipped and says why; with
 * RINGONE_REQUIRE_GUESTS=1 that is a failure.
 *
 * Usage: `const debian = await guest('debian:6.1'); test('…', { skip: debian.skip }, () =>
 * use(debian.files!))`.
 */

import { join } from 'node:path';
import { debianKernel, type PulledGuest, pullDebian, pullPackages } from '../src/cli/pull.ts';

/** Either the files, or the reason why there are none, in the form that `node:test` takes as `skip`. */
export type Sought<T> =
  | { readonly skip: false; readonly files: T }
  | { readonly skip: string; readonly files: undefined };

/** Single files of other guests: the package, and the path in it. */
const images = {
  'grub:i386': { package: 'grub-xen-host', path: 'usr/lib/grub-xen/grub-i386-xen.bin' },
  'grub:x86_64': { package: 'grub-xen-host', path: 'usr/lib/grub-xen/grub-x86_64-xen.bin' },
  /** No guest but a host: Debian's Xen. */
  xen: { package: 'xen-hypervisor-4.17-amd64', path: 'boot/xen-4.17-amd64.gz' },
  gnumach: { package: 'gnumach-image-1.8-xen-486', path: 'boot/gnumach-1.8-xen-486.gz' },
} as const;

/** A Debian guest (`debian:6.1`, `debian:6.12`, `debian:cloud`), brought here if it is not yet. */
export function guest(name: string): Promise<Sought<PulledGuest>> {
  const kernel = debianKernel(name);
  if (kernel === undefined) throw new Error(`no such guest: ${name}`);
  return sought(() => pullDebian(kernel));
}

/** Another guest's image: a path. */
export function guestImage(name: keyof typeof images): Promise<Sought<string>> {
  const { package: prefix, path } = images[name];
  return sought(async () => {
    const pattern = new RegExp(`^${prefix.replaceAll('.', '\\.')}$`);
    const [pulled] = await pullPackages(name, [{ prefix, pattern }]);
    return join(pulled.directory, path);
  });
}

async function sought<T>(bring: () => Promise<T>): Promise<Sought<T>> {
  try {
    return { skip: false, files: await bring() };
  } catch (error) {
    if (process.env.RINGONE_REQUIRE_GUESTS === '1') throw error;
    return { skip: (error as Error).message, files: undefined };
  }
}
