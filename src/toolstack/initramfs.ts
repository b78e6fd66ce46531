/**
 * A small root file system that Linux unpacks into memory at boot: a static busybox, an init that starts a
 * shell on the console, and whatever the caller adds.
 */

import { layered } from './archive-links.ts';
import { type CpioEntry, cpio, writeCpio } from './cpio.ts';

export interface BusyboxInitramfs {
  /** A statically linked busybox, for the guest's processor. */
  readonly busybox: Uint8Array;
  /** What to run as `/init` in place of the interactive one. */
  readonly init?: Uint8Array | undefined;
  /** More files; one of a path that is here already replaces it, and links among them are followed (`bin -> usr/bin`). */
  readonly files?: Iterable<CpioEntry>;
}

/**
 * A cpio archive with busybox, to be given to Linux as its initrd. Raises CpioError for a bad path or link
 * in `files`.
 */
export function buildBusyboxInitramfs(options: BusyboxInitramfs): Uint8Array {
  return writeCpio(busyboxEntries(options));
}

/** The files of such an archive; of those with the same path the last one counts. Raises CpioError for a bad link. */
export function busyboxEntries({ busybox, init, files = [] }: BusyboxInitramfs): CpioEntry[] {
  return layered(groundEntries(busybox, init), [...files]);
}

function groundEntries(busybox: Uint8Array, init: Uint8Array = interactiveInit): CpioEntry[] {
  const mountPoints = ['proc', 'sys', 'dev', 'run', 'mnt'].map((path) => cpio.directory(path));
  const linkPlaces = ['bin', 'sbin', 'usr/bin', 'usr/sbin'].map((path) => cpio.directory(path));
  return [
    ...mountPoints,
    ...linkPlaces,
    cpio.directory('etc'),
    cpio.directory('root', 0o700),
    cpio.directory('tmp', 0o1777),
    // The kernel opens these for init before anything is mounted.
    cpio.characterDevice('dev/console', 5, 1),
    cpio.characterDevice('dev/null', 1, 3, 0o666),
    cpio.file('bin/busybox', busybox, 0o755),
    cpio.symlink('bin/sh', 'busybox'),
    cpio.file('etc/passwd', new TextEncoder().encode('root::0:0:root:/root:/bin/sh\n')),
    cpio.file('etc/group', new TextEncoder().encode('root:x:0:\n')),
    cpio.file('init', init, 0o755),
  ];
}

/**
 * The default `/init`. busybox makes the links to its own commands at boot, some 270 of them. `cttyhack`
 * gives the shell a controlling terminal, without which there would be no job control and no Ctrl-C. The
 * guest ends with the shell.
 */
const interactiveInit = new TextEncoder().encode(`#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
hostname ringone
cd /root
echo "Linux $(uname -r) with a busybox shell. 'exit' powers off."
setsid cttyhack sh -l
poweroff -f
`);
