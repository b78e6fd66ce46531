/**
 * Reading a kernel image: what it says of itself, where it goes, and what is said of one that cannot be used.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import * as elfnote from '../../abi/xen/numbers/elfnote.ts';
import { parseElf } from './elf.ts';
import { ImageError, loadKernelImage } from './index.ts';
import { symbolTable } from './symbols.ts';
import {
  bzImage,
  concat,
  type ElfImageOptions,
  type ElfNote,
  elfImage,
  encodeNotes,
  latin1,
  minimalNotes,
  storedLz4,
  withSize,
} from './testing/elf-image.ts';

const load = (options: ElfImageOptions) => loadKernelImage(elfImage(options), 'kernel');
const withNotes = (...notes: ElfNote[]) => [...minimalNotes, ...notes];

async function refuses(image: Uint8Array | ElfImageOptions, reason: RegExp): Promise<void> {
  const bytes = image instanceof Uint8Array ? image : elfImage(image);
  await assert.rejects(loadKernelImage(bytes, 'boot/kernel'), (error: unknown) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.match(error.message, /^boot\/kernel: [^\n]+$/);
    assert.match(error.message, reason);
    return true;
  });
}

const upperBase = -(2 ** 31); // 0xffffffff80000000

test('the notes of a 64-bit kernel become its description', async () => {
  const { info, width } = await load({
    physical: 0x100_0000,
    virtual: upperBase + 0x100_0000,
    notes: [
      { type: elfnote.XEN_ELFNOTE_INFO, desc: 'COLOUR=blue' },
      { type: elfnote.XEN_ELFNOTE_ENTRY, desc: upperBase + 0x100_0002 },
      { type: elfnote.XEN_ELFNOTE_HYPERCALL_PAGE, desc: upperBase + 0x100_0000 },
      { type: elfnote.XEN_ELFNOTE_VIRT_BASE, desc: upperBase },
      { type: elfnote.XEN_ELFNOTE_PADDR_OFFSET, desc: 0 },
      { type: elfnote.XEN_ELFNOTE_XEN_VERSION, desc: 'xen-3.0' },
      { type: elfnote.XEN_ELFNOTE_GUEST_OS, desc: 'linux' },
      { type: elfnote.XEN_ELFNOTE_GUEST_VERSION, desc: '2.6' },
      { type: elfnote.XEN_ELFNOTE_LOADER, desc: 'generic' },
      { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' },
      { type: elfnote.XEN_ELFNOTE_FEATURES, desc: '!writable_page_tables|pae_pgdir_above_4gb' },
      { type: elfnote.XEN_ELFNOTE_BSD_SYMTAB, desc: 'yes' },
      { type: elfnote.XEN_ELFNOTE_HV_START_LOW, desc: -(2 ** 47) },
      {
        type: elfnote.XEN_ELFNOTE_L1_MFN_VALID,
        desc: Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0),
      },
      { type: elfnote.XEN_ELFNOTE_SUSPEND_CANCEL, desc: Uint8Array.of(1, 0, 0, 0) },
      { type: elfnote.XEN_ELFNOTE_INIT_P2M, desc: 2 ** 39 },
      { type: elfnote.XEN_ELFNOTE_MOD_START_PFN, desc: 1 },
      { type: elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES, desc: Uint8Array.of(0x01, 0x88, 0, 0) },
      { type: elfnote.XEN_ELFNOTE_PHYS32_ENTRY, desc: 0x100_0370 },
    ],
  });
  assert.equal(width, 64);
  assert.deepEqual(info, {
    source: 'notes',
    width: 64,
    info: ['COLOUR=blue'],
    entry: upperBase + 0x100_0002,
    hypercallPage: upperBase + 0x100_0000,
    virtBase: upperBase,
    paddrOffset: 0,
    virtStart: upperBase + 0x100_0000,
    virtEnd: upperBase + 0x100_0104,
    bsdSymbols: undefined,
    xenVersion: 'xen-3.0',
    guestOs: 'linux',
    guestVersion: '2.6',
    loader: 'generic',
    pae: 'extended-cr3',
    supportedFeatures: 0x8811,
    requiredFeatures: 0x0001,
    bsdSymtab: true,
    hvStartLow: -(2 ** 47),
    l1MfnValid: [{ maskLow: 1, maskHigh: 2, valueLow: 3, valueHigh: 4 }],
    suspendCancel: true,
    initP2m: 2 ** 39,
    modStartPfn: true,
    phys32Entry: 0x100_0370,
  });
});

test('a 32-bit kernel has unsigned addresses', async () => {
  const { info, width } = await load({
    width: 32,
    physical: 0x10_0000,
    virtual: 0xc010_0000,
    notes: withNotes(
      { type: elfnote.XEN_ELFNOTE_VIRT_BASE, desc: 0xc000_0000 },
      { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes,bimodal' },
    ),
  });
  assert.equal(width, 32);
  assert.equal(info.pae, 'bimodal');
  assert.equal(info.virtBase, 0xc000_0000);
  assert.equal(info.virtStart, 0xc010_0000);
  assert.equal(info.entry, 0xc010_0000, 'without an ENTRY note the ELF header says where to enter');
});

test('a segment goes where its physical address and VIRT_BASE say, whatever its virtual address', async () => {
  const contents = latin1('hello');
  const { segments } = await load({
    physical: 0x2000,
    virtual: 0,
    contents,
    memorySize: 0x3000,
    entry: upperBase + 0x2000,
    notes: withNotes({ type: elfnote.XEN_ELFNOTE_VIRT_BASE, desc: upperBase }),
  });
  assert.deepEqual(segments, [
    { virtual: upperBase + 0x2000, physical: 0x2000, bytes: contents, memorySize: 0x3000 },
  ]);
});

test('PADDR_OFFSET is taken off the physical addresses', async () => {
  const { segments, info } = await load({
    physical: 0xc000_1000,
    notes: withNotes(
      { type: elfnote.XEN_ELFNOTE_VIRT_BASE, desc: 0xc000_0000 },
      { type: elfnote.XEN_ELFNOTE_PADDR_OFFSET, desc: 0xc000_0000 },
    ),
  });
  assert.equal(segments[0].physical, 0x1000);
  assert.equal(segments[0].virtual, 0xc000_1000);
  assert.equal(info.virtStart, 0xc000_1000);
});

test('the later of two notes of one type wins', async () => {
  const { info } = await load({ notes: withNotes({ type: elfnote.XEN_ELFNOTE_LOADER, desc: 'generic-2' }) });
  assert.equal(info.loader, 'generic-2');
});

test('notes of other owners and of unknown types are passed over', async () => {
  const { info } = await load({
    notes: withNotes(
      { owner: 'name', type: elfnote.XEN_ELFNOTE_LOADER, desc: 'other' },
      { type: 0x13, desc: 7 },
    ),
  });
  assert.equal(info.loader, 'generic');
});

test('notes in a section count where no segment has any, and not otherwise', async () => {
  const { info } = await load({ notesIn: 'section' });
  assert.equal(info.loader, 'generic');
  assert.equal(info.source, 'notes');
  const both = await load({
    notesIn: 'both',
    notes: withNotes({ type: elfnote.XEN_ELFNOTE_INFO, desc: 'once' }),
  });
  assert.deepEqual(both.info.info, ['once']);
});

test('a string whose note claims more bytes than the file has is still read, as GRUB needs it', async () => {
  const claimed = encodeNotes([{ type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' }], 32);
  claimed[4] = 12; // descsz
  // The image's notes come last in this file: nothing follows the four bytes that are there.
  const image = elfImage({ width: 32, notes: minimalNotes });
  const view = new DataView(image.buffer);
  const [programHeaders, noteHeader] = [52, 52 + 32];
  assert.equal(view.getUint32(noteHeader, true), 4, 'the second program header is the notes');
  const notes = concat([encodeNotes(minimalNotes, 32), claimed]);
  const file = concat([image.slice(0, image.length), notes]);
  const fileView = new DataView(file.buffer);
  fileView.setUint32(noteHeader + 4, image.length, true);
  fileView.setUint32(noteHeader + 16, notes.length, true);
  assert.equal(fileView.getUint32(programHeaders, true), 1);
  assert.equal((await loadKernelImage(file, 'kernel')).info.pae, 'extended-cr3');
});

test('the older __xen_guest string describes a kernel that has no notes', async () => {
  const { info, segments } = await load({
    physical: 0x4000_0000,
    notes: [{ owner: 'name', type: 5, desc: 'xen-3.0' }],
    guestInfo:
      'GUEST_OS=GNU Mach,GUEST_VERSION=1.3,XEN_VER=xen-3.0,VIRT_BASE=0x40000000,' +
      'ELF_PADDR_OFFSET=0x40000000,HYPERCALL_PAGE=0x2,LOADER=generic,PAE=yes[extended-cr3],BSD_SYMTAB',
  });
  assert.equal(info.source, '__xen_guest');
  assert.equal(info.guestOs, 'GNU Mach');
  assert.equal(info.hypercallPage, 0x4000_2000, 'HYPERCALL_PAGE is a frame number above VIRT_BASE');
  assert.equal(info.pae, 'extended-cr3');
  assert.equal(info.bsdSymtab, true);
  assert.equal(segments[0].physical, 0);
});

test('with __xen_guest, physical addresses are virtual ones unless it says otherwise', async () => {
  const { info, segments } = await load({
    physical: 0xc000_1000,
    notes: [],
    guestInfo: 'XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0xC0000000,VIRT_ENTRY=3221229568',
  });
  assert.equal(info.paddrOffset, 0xc000_0000);
  assert.equal(info.entry, 0xc000_1000);
  assert.equal(segments[0].physical, 0x1000);
});

test('a __xen_guest string states features, versions and PAE, and what is unknown in it is passed over', async () => {
  const guest = (more: string): ElfImageOptions => ({
    width: 32,
    notes: [],
    guestInfo: `XEN_VER=xen-3.0,GUEST_OS=linux,GUEST_VER=2.6,__proto__=1,constructor,${more}`,
  });
  const { info } = await load(guest('PAE=yes,FEATURES=!writable_page_tables|pae_pgdir_above_4gb'));
  const { pae, guestVersion, supportedFeatures, requiredFeatures } = info;
  assert.deepEqual([pae, guestVersion, supportedFeatures, requiredFeatures], ['yes', '2.6', 0x11, 0x01]);
  await refuses(guest('PAE=yes,FEATURES=!telepathy'), /requires the feature "telepathy"/);
  await refuses(guest('PAE=no'), /32-bit kernel without PAE/);
  await refuses(guest('x'.repeat(5000)), /its __xen_guest section does not end/);
});

test('numbers in a __xen_guest string are those of C', async () => {
  const at = (base: number, text: string): ElfImageOptions => ({
    physical: base + 0x1000,
    notes: [],
    guestInfo: `XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=${text}`,
  });
  for (const [text, base] of [
    ['0xC0000000', 0xc000_0000],
    ['3221225472', 0xc000_0000],
    ['030000000000', 0xc000_0000],
    ['0xffffffff80000000', upperBase],
    ['01777777777760000000000', upperBase],
    ['none', 0],
  ] as const) {
    assert.equal((await load(at(base, text))).info.virtBase, base, text);
  }
  for (const text of ['0', '9', '0x']) {
    await refuses(at(0, `${text}${'7'.repeat(3000)}`), /not an address range|below its VIRT_BASE/);
  }
});

test('notes win over a __xen_guest string', async () => {
  const { info } = await load({ guestInfo: 'LOADER=other,XEN_VER=xen-2.0' });
  assert.equal(info.source, 'notes');
});

test('a gzipped ELF file is a kernel too', async () => {
  const image = elfImage();
  const { segments } = await loadKernelImage(new Uint8Array(gzipSync(image)), 'kernel');
  assert.deepEqual(segments, (await loadKernelImage(image, 'kernel')).segments);
});

test('a bzImage is unpacked', async () => {
  const image = elfImage();
  const expected = (await loadKernelImage(image, 'kernel')).info;
  for (const payload of [new Uint8Array(gzipSync(image)), withSize(storedLz4(image), image.length)]) {
    assert.deepEqual((await loadKernelImage(bzImage(payload), 'kernel')).info, expected);
  }
});

test('symbols are found by name and by the nearest address below', async () => {
  for (const width of [32, 64] as const) {
    const { symbols } = await load({
      width,
      notes: withNotes({ type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' }),
      symbols: [
        { name: 'second', address: 0x1010 },
        { name: 'first', address: 0x1000 },
      ],
    });
    assert.equal(symbols.size, 2);
    assert.equal(symbols.addressOf('second'), 0x1010);
    assert.equal(symbols.addressOf('third'), undefined);
    assert.deepEqual(symbols.nearest(0x100f), { name: 'first', offset: 15 });
    assert.deepEqual(symbols.nearest(0x1010), { name: 'second', offset: 0 });
    assert.equal(symbols.nearest(0xfff), undefined);
  }
});

test('a kernel that asks for its symbols gets them behind it, as a small ELF file', async () => {
  for (const width of [32, 64] as const) {
    const { segments, info } = await load({
      width,
      contents: new Uint8Array(5),
      memorySize: 0x105,
      notes: withNotes(
        { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' },
        { type: elfnote.XEN_ELFNOTE_BSD_SYMTAB, desc: 'yes' },
      ),
      symbols: [{ name: 'start', address: 0x1004 }],
    });
    const [, behind] = segments;
    assert.equal(behind.physical, 0x1108, 'aligned after the kernel');
    assert.equal(info.virtEnd, behind.virtual + behind.memorySize);
    const size = new DataView(behind.bytes.buffer).getUint32(0, true);
    const file = parseElf(behind.bytes.slice(4, 4 + size), 'symbols');
    assert.equal(file.width, width);
    assert.deepEqual(
      file.sections.map(({ type }) => type),
      [0, 2, 3],
    );
    assert.equal(symbolTable(file).addressOf('start'), 0x1004);
  }
});

test('the small file of symbols has nothing of the kernel but them', async () => {
  for (const width of [32, 64] as const) {
    const image = elfImage({
      width,
      notes: withNotes(
        { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' },
        { type: elfnote.XEN_ELFNOTE_BSD_SYMTAB, desc: 'yes' },
      ),
      symbols: [{ name: 'start', address: 0x1004 }],
    });
    const { bytes } = (await loadKernelImage(image, 'kernel')).segments[1];
    const view = new DataView(bytes.buffer, bytes.byteOffset + 4);
    const word = (at: number) =>
      width === 64 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true);
    const [phoff, shoff, ehsize] = width === 64 ? [32, 40, 52] : [28, 32, 40];
    assert.deepEqual([word(phoff), word(shoff)], [0, 64]);
    const halves = Array.from({ length: 6 }, (_, i) => view.getUint16(ehsize + i * 2, true));
    assert.deepEqual(halves, width === 64 ? [64, 0, 0, 64, 3, 0] : [52, 0, 0, 40, 3, 0]);
  }
});

test('segments that are together, or reach, further than any kernel are refused', async () => {
  const image = elfImage();
  const header = image.slice(64, 64 + 56);
  const notes = image.slice(64 + 56, 64 + 112);
  /** The image with these segments: their addresses and sizes. */
  const withSegments = (...segments: (readonly [number, number])[]) => {
    const headers = segments.map(([address, size]) => {
      const made = header.slice();
      const view = new DataView(made.buffer);
      view.setUint32(24, address, true);
      view.setUint32(40, size, true);
      return made;
    });
    const made = concat([image, ...headers, notes]);
    const view = new DataView(made.buffer);
    view.setUint32(32, image.length, true);
    view.setUint16(56, segments.length + 1, true);
    return made;
  };
  const half = 2 ** 29;
  const loaded = await loadKernelImage(withSegments([0x1000, half], [0x1000 + half, half]), 'kernel');
  assert.equal(loaded.segments.length, 2);
  await refuses(withSegments([0x1000, half], [0x1000, half + 1]), /wants 1073741825 bytes of memory/);
  await refuses(withSegments([0x1000, 0x1000], [0x1000 + 2 ** 30, 4]), /wants 1073741828 bytes of memory/);
});

test('an image without symbols has an empty table', async () => {
  const { symbols } = await load({});
  assert.equal(symbols.size, 0);
  assert.equal(symbols.nearest(0x1000), undefined);
});

test('what is no kernel is refused with a reason', async () => {
  await refuses(new Uint8Array(), /the file is empty/);
  await refuses(latin1('#!/bin/sh\n'), /expected a bzImage, an ELF file or a gzip'd ELF file/);
  await refuses(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0), /a plain zstd file is not supported/);
  await refuses(new Uint8Array(gzipSync(latin1('text'))), /what it unpacks to is not an ELF file/);
  await refuses(bzImage(new Uint8Array(gzipSync(latin1('text')))), /what it unpacks to is not an ELF file/);
});

test('a bzImage from before boot protocol 2.08 is refused', async () => {
  await refuses(
    bzImage(new Uint8Array(gzipSync(elfImage())), 0x207),
    /boot protocol is 2\.07; Xen PV needs 2\.08/,
  );
});

test('an ELF file for another machine is refused', async () => {
  await refuses({ machine: 183 }, /not an x86 kernel: ELF class 64, machine 183/);
  await refuses({ width: 32, machine: 62 }, /not an x86 kernel/);
  const bigEndian = elfImage();
  bigEndian[5] = 2;
  await refuses(bigEndian, /not an x86 kernel/);
});

test('a kernel that is not made for Xen PV is refused', async () => {
  await refuses({ notes: [] }, /not a Xen PV kernel: no Xen ELF note/);
  await refuses({ notes: [{ owner: 'GNU', type: 3, desc: 'id' }] }, /no Xen ELF note/);
  await refuses({ notes: [{ type: 5, desc: 'xen-3.0' }] }, /its loader is "" and its OS ""/);
  await refuses({ notes: [{ type: 8, desc: 'generic' }] }, /made for "", expected "xen-3\.0"/);
  await refuses(
    { notes: [{ type: 18, desc: Uint8Array.of(0, 16, 0, 0) }] },
    /only the note PHYS32_ENTRY, for PVH/,
  );
});

test('a kernel that asks for what no Xen domU can give is refused', async () => {
  const features = (desc: string) => ({ notes: withNotes({ type: elfnote.XEN_ELFNOTE_FEATURES, desc }) });
  await refuses(features('!dom0'), /runs only as the initial domain/);
  await refuses(features('!telepathy'), /requires the feature "telepathy"/);
  await refuses(features('!a\n\x1b[2Jb'), /requires the feature "a\\n\\u001b\[2Jb"/);
  await refuses({ width: 32 }, /32-bit kernel without PAE/);
  assert.equal((await load(features('telepathy|dom0'))).info.supportedFeatures, 1 << 11);
});

test('addresses that contradict each other are refused', async () => {
  const note = (type: number, desc: number) => ({ notes: withNotes({ type, desc }) });
  await refuses(note(elfnote.XEN_ELFNOTE_PADDR_OFFSET, 0), /PADDR_OFFSET is given, VIRT_BASE is not/);
  await refuses({ entry: 0x9000 }, /its entry 0x9000 lies outside the image, 0x1000\.\.0x1104/);
  await refuses(note(elfnote.XEN_ELFNOTE_INIT_P2M, 0x1010), /INIT_P2M 0x1010 lies inside the image/);
  await refuses(note(elfnote.XEN_ELFNOTE_INIT_P2M, 2 ** 50), /INIT_P2M .* is not an address/);
  await refuses(note(elfnote.XEN_ELFNOTE_VIRT_BASE, -0x1080), /not an address range of 64 bits/);
  // The image begins at 0: the end of the address space, where VIRT_BASE is, comes after it.
  await refuses(note(elfnote.XEN_ELFNOTE_VIRT_BASE, -0x1000), /below its VIRT_BASE 0xfffffffffffff000/);
  await refuses({ physical: 2 ** 50 }, /not an address range of 64 bits/);
  await refuses({ memorySize: 2 }, /larger in the file than in memory/);
  await refuses({ memorySize: 2 ** 40 }, /wants \d+ bytes of memory/);
});

test('an image may touch the borders of its address range, but not cross them', async () => {
  const at = (virtBase: number, physical: number, more: Partial<ElfImageOptions> = {}) => ({
    physical,
    entry: virtBase + physical,
    memorySize: 0x1000,
    notes: withNotes(
      { type: elfnote.XEN_ELFNOTE_VIRT_BASE, desc: virtBase },
      { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' },
    ),
    ...more,
  });
  const [low, high] = [2 ** 47 - 0x4000, -0x4000];
  assert.equal((await load(at(low, 0x3000))).info.virtEnd, 2 ** 47);
  await refuses(at(low, 0x3001), /not an address range of 64 bits/);
  assert.equal((await load(at(high, 0x3000))).info.virtEnd, 0);
  await refuses(at(high, 0x3001), /not an address range of 64 bits/);
  const small = { width: 32 } as const;
  assert.equal((await load(at(2 ** 32 - 0x4000, 0x3000, small))).info.virtEnd, 2 ** 32);
  await refuses(at(2 ** 32 - 0x4000, 0x3001, small), /not an address range of 32 bits/);
  assert.equal((await load(at(-(2 ** 47), 0))).info.virtStart, -(2 ** 47));
  await refuses(at(-(2 ** 47) - 0x1000, 0), /not an address range of 64 bits/);
  // What begins below VIRT_BASE would lie before the domain's memory.
  await refuses(
    { physical: -0x1000, virtual: 0, entry: 0x1000, notes: at(0x2000, 0).notes },
    /below its VIRT_BASE/,
  );
});

test('an entry may lie at either end of the image, and at neither side of it', async () => {
  for (const entry of [0x1000, 0x1104]) assert.equal((await load({ entry })).info.entry, entry);
  for (const entry of [0xfff, 0x1105]) await refuses({ entry }, /lies outside the image/);
});

test('the list of frames may lie anywhere but in the image', async () => {
  const at = (desc: number) => ({ notes: withNotes({ type: elfnote.XEN_ELFNOTE_INIT_P2M, desc }) });
  for (const place of [0, 0xfff, 0x1104, -(2 ** 47), 2 ** 47 - 1]) {
    assert.equal((await load(at(place))).info.initP2m, place);
  }
  for (const place of [0x1000, 0x1103]) await refuses(at(place), /lies inside the image/);
  for (const place of [-(2 ** 47) - 1, 2 ** 47]) await refuses(at(place), /is not an address of 64 bits/);
});

test('a kernel is known by the beginning of what it states, as later ones may add to it', async () => {
  const note = (type: number, desc: string) => ({ type, desc });
  await load({ notes: [note(5, 'xen-3.0-x86_64'), note(6, 'linux-2.6')] });
  await load({ notes: [note(5, 'xen-3.0'), note(8, 'generic-2')] });
  await refuses({ notes: [note(5, 'xen-3.1'), note(8, 'generic')] }, /made for "xen-3\.1"/);
});

test('a number in a note may have 1, 2, 4 or 8 bytes, and is 0 with any other length', async () => {
  const entryOf = async (...desc: number[]) =>
    (
      await load({
        physical: 0,
        memorySize: 0x10000,
        notes: withNotes({ type: elfnote.XEN_ELFNOTE_ENTRY, desc: Uint8Array.from(desc) }),
      })
    ).info.entry;
  assert.equal(await entryOf(0x12), 0x12);
  assert.equal(await entryOf(0x34, 0x12), 0x1234);
  assert.equal(await entryOf(0x34, 0x12, 0, 0), 0x1234);
  assert.equal(await entryOf(0x34, 0x12, 0, 0, 0, 0, 0, 0), 0x1234);
  for (const bytes of [0, 3, 5, 16]) assert.equal(await entryOf(...new Array(bytes).fill(1)), 0, `${bytes}`);
});

test('a note that says no, or a feature set of a strange length, states nothing', async () => {
  const { info } = await load({
    notes: withNotes(
      { type: elfnote.XEN_ELFNOTE_BSD_SYMTAB, desc: 'no' },
      { type: elfnote.XEN_ELFNOTE_SUSPEND_CANCEL, desc: 0 },
      { type: elfnote.XEN_ELFNOTE_MOD_START_PFN, desc: 0 },
      { type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'no' },
      { type: elfnote.XEN_ELFNOTE_FEATURES, desc: 'writable_page_tables|dom0' },
      { type: elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES, desc: Uint8Array.of(4, 0, 0, 0x80) },
      { type: elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES, desc: Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff) },
      { type: elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES, desc: new Uint8Array() },
    ),
  });
  const { bsdSymtab, suspendCancel, modStartPfn, pae, supportedFeatures } = info;
  assert.deepEqual(
    { bsdSymtab, suspendCancel, modStartPfn, pae },
    {
      bsdSymtab: false,
      suspendCancel: false,
      modStartPfn: false,
      pae: 'no',
    },
  );
  assert.equal(supportedFeatures, 0x8000_0805);
});

test('masks of page-table entries are of 32 bits in a kernel without PAE', async () => {
  const desc = Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0);
  const { info } = await load({ notes: withNotes({ type: elfnote.XEN_ELFNOTE_L1_MFN_VALID, desc }) });
  assert.deepEqual(info.l1MfnValid, [{ maskLow: 1, maskHigh: 0, valueLow: 2, valueHigh: 0 }]);
});

test('notes end where their segment does, and one whose offset is zero has none', async () => {
  const image = elfImage({ notes: withNotes({ type: elfnote.XEN_ELFNOTE_LOADER, desc: 'generic-2' }) });
  const view = new DataView(image.buffer);
  const noteHeader = 64 + 56;
  view.setUint32(noteHeader + 32, view.getUint32(noteHeader + 32, true) - 28, true);
  assert.equal((await loadKernelImage(image, 'kernel')).info.loader, 'generic');
  view.setUint32(noteHeader + 8, 0, true);
  view.setUint32(noteHeader + 32, 0x7fff_ffff, true);
  await refuses(image, /no Xen ELF note/);
});

test('a segment without any permission is not loaded', async () => {
  const image = elfImage();
  new DataView(image.buffer).setUint32(64 + 4, 0x8, true);
  await refuses(image, /nothing to load/);
});

test('header tables may have longer rows than needed, and no shorter ones', async () => {
  const image = elfImage({ notesIn: 'section' });
  const view = new DataView(image.buffer);
  const rows = view.getUint16(60, true);
  const sectionsAt = Number(view.getBigUint64(40, true));
  const wide = concat([
    image.slice(0, sectionsAt),
    ...Array.from({ length: rows }, (_, i) =>
      concat([image.slice(sectionsAt + i * 64, sectionsAt + i * 64 + 64), new Uint8Array(8)]),
    ),
  ]);
  new DataView(wide.buffer).setUint16(58, 72, true);
  assert.equal((await loadKernelImage(wide, 'kernel')).info.loader, 'generic');
  view.setUint16(58, 63, true);
  await refuses(image, /a section header has 63 bytes, expected 64/);
});

test('a bzImage of boot protocol 2.08 with any number of setup sectors is unpacked', async () => {
  const image = elfImage();
  const made = bzImage(withSize(storedLz4(image), image.length), 0x208);
  const sectors = concat([made.slice(0, 1024), new Uint8Array(512 * 25), made.slice(1024)]);
  sectors[0x1f1] += 25;
  for (const file of [made, sectors]) {
    assert.deepEqual(
      (await loadKernelImage(file, 'kernel')).segments[0].bytes,
      Uint8Array.of(15, 11, 15, 11),
    );
  }
});

test('a note L1_MFN_VALID may have some pairs, but not as many as the file is long', async () => {
  const pairs = (count: number) => ({
    type: elfnote.XEN_ELFNOTE_L1_MFN_VALID,
    desc: Uint8Array.from({ length: 16 * count }, (_, i) => (i % 4 === 0 ? i / 4 + 1 : 0)),
  });
  const { info } = await load({ notes: withNotes(pairs(2), pairs(14)) });
  assert.equal(info.l1MfnValid.length, 16);
  assert.deepEqual(info.l1MfnValid[1], { maskLow: 5, maskHigh: 6, valueLow: 7, valueHigh: 8 });
  await refuses({ notes: withNotes(pairs(3), pairs(14)) }, /too many pairs in its notes L1_MFN_VALID/);
  await refuses({ notes: withNotes(pairs(300_000)) }, /too many pairs in its notes L1_MFN_VALID/);
});

test('notes without end are given up', async () => {
  const image = elfImage({
    notes: [...minimalNotes, { owner: 'x', type: 0, desc: new Uint8Array(16 * 70_000) }],
  });
  // One huge note is fine; the same bytes read as 70,000 empty ones are not.
  await loadKernelImage(image, 'kernel');
  const many = elfImage({
    notes: Array.from({ length: 70_000 }, () => ({ owner: '', type: 0, desc: new Uint8Array() })),
  });
  await refuses(many, /too many ELF notes/);
});

const smallImages: ReadonlyArray<readonly [string, Uint8Array]> = [
  [
    '64-bit image with symbols',
    elfImage({
      notes: withNotes({ type: elfnote.XEN_ELFNOTE_BSD_SYMTAB, desc: 'yes' }),
      symbols: [{ name: 'start', address: 0x1000 }],
    }),
  ],
  [
    '32-bit image',
    elfImage({ width: 32, notes: withNotes({ type: elfnote.XEN_ELFNOTE_PAE_MODE, desc: 'yes' }) }),
  ],
  [
    'image with __xen_guest',
    elfImage({ notes: [], guestInfo: 'XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0x0' }),
  ],
  ['gzipped image', new Uint8Array(gzipSync(elfImage()))],
  ['bzImage', bzImage(withSize(storedLz4(elfImage()), elfImage().length))],
];

for (const [name, image] of smallImages) {
  test(`${name}: cut anywhere, it is refused`, async () => {
    await loadKernelImage(image, 'kernel');
    for (let length = 0; length < image.length; length++) {
      await assert.rejects(
        loadKernelImage(image.slice(0, length), 'kernel'),
        ImageError,
        `cut to ${length} bytes`,
      );
    }
  });

  test(`${name}: with any one byte changed it loads or is refused, and its symbols can be read`, async () => {
    for (let at = 0; at < image.length; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff, image[at] ^ 0x01]) {
        const changed = image.slice();
        changed[at] = value;
        try {
          const { symbols } = await loadKernelImage(changed, 'kernel');
          symbols.nearest(0x1000);
        } catch (error) {
          assert.ok(error instanceof ImageError, `byte ${at} = ${value}: ${error}`);
        }
      }
    }
  });
}
