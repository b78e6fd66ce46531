/**
 * Asks a C compiler for every number and every offset of the Xen interface, and writes the answers beside
 * this file. `abi.test.ts` compares them with the descriptions.
 *
 *     npx tsx src/abi/xen/vectors/generate.mjs [directory that holds xen/xen.h]
 *
 * Wanted: gcc and Xen's public headers (Debian: libxen-dev; the default directory is /usr/include), and
 * linux-libc-dev, whose boot_e820_entry stands in for the E820 entry that Xen's public headers do not define.
 * Nothing is run, so no 32-bit library is needed: each answer is an operand of an assembler comment, read
 * from the output of `gcc -S -m32` and `-m64`.
 *
 * Two questions keep both sides honest. Everything that the descriptions export must be known to the headers,
 * or this does not compile; and every macro of the families below goes into the data, whether we export it or
 * not.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as numbers from '../numbers/index.ts';
import * as structures from '../structures/index.ts';

const HEADERS = [
  'xen.h',
  'errno.h',
  'memory.h',
  'event_channel.h',
  'sched.h',
  'vcpu.h',
  'grant_table.h',
  'version.h',
  'features.h',
  'nmi.h',
  'physdev.h',
  'callback.h',
  'elfnote.h',
  'platform.h',
  'kexec.h',
  'pmu.h',
  'argo.h',
  'hypfs.h',
  'xenoprof.h',
  'hvm/hvm_op.h',
  'arch-x86/cpuid.h',
  'arch-x86/hvm/start_info.h',
  'io/console.h',
  'io/xs_wire.h',
  'io/xenbus.h',
];

/**
 * The macros that must all be exported (the test lists the exceptions). Names with a leading `_` are bit
 * numbers.
 */
const FAMILIES = new RegExp(
  `^(?:${[
    '__HYPERVISOR_[a-z]',
    'VIRQ_',
    'NR_VIRQS$',
    'MMU_',
    'MMUEXT_',
    'UVMF_',
    'CONSOLEIO_',
    'VMASST_',
    'DOMID_',
    'SIF_',
    'EVTCHN',
    'SCHEDOP_',
    'SHUTDOWN_',
    'VCPUOP_',
    'VCPU_',
    'RUNSTATE_',
    'XENMEM_(?!.*_op_)[a-z]',
    'XENMAP',
    'XENMEMF_',
    'GNTTABOP_',
    'GNTTAB_',
    'GTF_',
    'GNTMAP_',
    'GNTCOPY_',
    'GNTST_',
    'XENVER_',
    'XENFEAT_',
    'XENNMI_',
    'XEN_NMIREASON_',
    'PHYSDEVOP_',
    'XENIRQSTAT_',
    'MAP_PIRQ_TYPE_',
    'CALLBACK',
    'XEN_ELFNOTE_',
    'XEN_PVCLOCK_',
    'FLAT_',
    'SEGBASE_',
    'VGCF_',
    'XEN_CPUID_',
    'XENSTORE_',
    'XENPF_[a-z]',
    'XENPMU_[a-z]',
    'XEN_ARGO_OP_',
    'XENOPROF_[a-z]',
    'KEXEC_CMD_',
    'XEN_HYPFS_OP_',
    'HVMOP_(?!altp2m_)[a-z]',
    'XEN_HVM_MEMMAP_TYPE_',
  ].join('|')})`,
);

const include = process.argv[2] ?? '/usr/include';
const scratch = mkdtempSync(join(tmpdir(), 'xen-abi-'));
const prologue = [
  '#include <stdint.h>',
  '#include <stddef.h>',
  '#include <asm/bootparam.h>',
  ...HEADERS.map((header) => `#include <xen/${header}>`),
  '#define e820entry boot_e820_entry',
  // Two halves, since an operand of 64 bits is not portable to -m32. The comment sign keeps the output an
  // assembly file.
  '#define SAY(what, value) __asm__ volatile("# @ " what " %c0 %c1" :: ' +
    '"i"((int)(long long)(value)), "i"((int)((unsigned long long)(long long)(value) >> 32)));',
  '#define SIGNED(value) _Generic((value), signed char: 1, short: 1, int: 1, long: 1, long long: 1, default: 0)',
];

function gcc(abi, source, ...options) {
  const file = join(scratch, 'question.c');
  writeFileSync(file, source);
  return execFileSync(
    'gcc',
    [
      abi === 'x32' ? '-m32' : '-m64',
      // Before C99 the headers give a trailing array of open length the length 0, which sizeof accepts.
      '-std=gnu89',
      '-ffreestanding',
      '-D__XEN_TOOLS__',
      '-I',
      include,
      // The kernel's headers stand in the directory of the native architecture; they serve both widths.
      '-idirafter',
      '/usr/include/x86_64-linux-gnu',
      ...options,
      '-o',
      '-',
      file,
    ],
    { encoding: 'utf8', maxBuffer: 1 << 26 },
  );
}

/** Compiles `statements` and collects what they say: lines of a key and a signed 64-bit number. */
function answers(abi, statements) {
  const output = gcc(abi, [...prologue, 'void ask(void) {', ...statements, '}', ''].join('\n'), '-S', '-O1');
  const found = new Map();
  for (const [, key, low, high] of output.matchAll(/# @ (\S+) (-?\d+) (-?\d+)/g)) {
    found.set(key, Number(BigInt(high) * 0x1_0000_0000n + BigInt(Number(low) >>> 0)));
  }
  if (found.size !== statements.length) {
    throw new Error(`gcc: expected ${statements.length} answers, found ${found.size}`);
  }
  return found;
}

const say = (key, expression) => `SAY("${key}", ${expression})`;

function constants(abi) {
  const macros = new Map();
  for (const [, name, body] of gcc(abi, prologue.join('\n'), '-E', '-dM').matchAll(/^#define (\w+)(?: (.*))?$/gm)) {
    macros.set(name, body ?? '');
  }
  const { x86_32, x86_64, ...common } = numbers;
  const wanted = new Set(Object.keys({ ...common, ...(abi === 'x32' ? x86_32 : x86_64) }));
  for (const [name, body] of macros) {
    // An empty macro is a guard, one with a brace a table: neither is a number.
    if (FAMILIES.test(name) && body !== '' && !body.includes('{')) wanted.add(name);
  }
  return answers(abi, [...wanted].sort().map((name) => say(name, name)));
}

function layouts(abi) {
  const statements = [];
  for (const { kind, name, [abi]: layout } of described()) {
    if (layout.fields.size === 0) continue;
    const type = `${kind} ${name}`;
    statements.push(say(`${name}:size`, `sizeof(${type})`), say(`${name}:align`, `_Alignof(${type})`));
    for (const { path } of layout.fields.values()) {
      const field = `((${type} *)0)->${path}`;
      statements.push(
        say(`${name}:${path}:offset`, `__builtin_offsetof(${type}, ${path})`),
        say(`${name}:${path}:width`, `sizeof(${field})`),
        say(`${name}:${path}:signed`, `SIGNED(${field})`),
      );
    }
  }
  const found = answers(abi, statements);
  const result = new Map();
  for (const { name, [abi]: layout } of described()) {
    if (layout.fields.size === 0) continue;
    const fields = {};
    for (const { path } of layout.fields.values()) {
      const of = (what) => found.get(`${name}:${path}:${what}`);
      fields[path] = of('signed') ? [of('offset'), of('width'), 1] : [of('offset'), of('width')];
    }
    result.set(name, { size: found.get(`${name}:size`), align: found.get(`${name}:align`), fields });
  }
  return result;
}

function described() {
  return Object.values(structures).filter((structure) => 'kind' in structure);
}

/** JSON with one entry a line: compact, and a change shows as the line it is. */
function write(file, sections) {
  const section = ([title, entries]) => {
    const lines = [...entries].map(([key, value]) => `  ${JSON.stringify(key)}:${JSON.stringify(value)}`);
    return ` ${JSON.stringify(title)}: {\n${lines.join(',\n')}\n }`;
  };
  writeFileSync(new URL(file, import.meta.url), `{\n${Object.entries(sections).map(section).join(',\n')}\n}\n`);
}

try {
  const x32 = constants('x32');
  const x64 = constants('x64');
  const same = (name) => x32.get(name) === x64.get(name);
  write('constants.json', {
    both: [...x64].filter(([name]) => same(name)),
    x32: [...x32].filter(([name]) => !same(name)),
    x64: [...x64].filter(([name]) => !same(name)),
  });
  write('structures.json', { x32: layouts('x32'), x64: layouts('x64') });
} finally {
  rmSync(scratch, { recursive: true });
}
