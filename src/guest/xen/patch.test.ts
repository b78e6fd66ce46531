/**
 * Patching: the templates as a disassembler reads them, what happens where one does not fit, and what becomes of a list of
 * sites. That patched code does what the calls did is tested by a kernel, in test/guest-operations.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { loadGuest } from '../testing/index.ts';

const ADDRESS = 0xffffffff80123450n;
const UPCALL_FUNCTION = 0xffffffff80200000n;
const SITES = 0x400000;
const SITE_BYTES = 16;

async function patcher(sites = 0) {
  const guest = await loadGuest('src/guest/xen/testing/backend.ts', {
    on: {
      functionAddress: (index: number) => UPCALL_FUNCTION + BigInt(index),
      'image.patch_sites_start': () => SITES,
      'image.patch_sites_end': () => SITES + sites * SITE_BYTES,
    },
  });
  const { exports, machine } = guest;
  const page = exports.pages!() as number;
  // In an image vcpu_info lies among its data, near its code; here the place is what a 32-bit address can say.
  exports.setSharedInfo!(page);
  const into = page + 2 * 4096;
  const patch = (slot: string, bytes: number): Uint8Array => {
    const written = exports.xenPatch!(
      exports[slot]!()!,
      into,
      BigInt.asIntN(64, ADDRESS),
      bytes,
      0,
    ) as number;
    return guest.bytes.slice(into, into + written);
  };
  return { ...guest, exports, machine, page, patch };
}

/** Instructions of a piece of code, and the bytes that were left over. */
function disassemble(code: Uint8Array): string[] {
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = ADDRESS;
  const formatter = new Formatter(FormatterSyntax.Intel);
  const lines: string[] = [];
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    lines.push(formatter.format(instruction));
    instruction.free();
  }
  formatter.free();
  decoder.free();
  return lines;
}

/** A number as the disassembler writes it: with a digit in front. */
const hex = (value: bigint) =>
  `${BigInt.asUintN(64, value).toString(16).toUpperCase()}h`.replace(/^(?=[A-F])/, '0');

test('the templates are the operations as instructions', async () => {
  const { patch, page } = await patcher();
  // The distance of 32 bits reaches around; a place of the module is seen 4 GiB up from here.
  const near = (address: number) => {
    const distance = BigInt.asIntN(32, BigInt(address) - ADDRESS);
    return BigInt.asUintN(64, ADDRESS + distance);
  };
  const mask = hex(near(page + 1));
  const pending = hex(near(page));
  const same = (slot: string, bytes: number, expected: RegExp[]) => {
    const lines = disassemble(patch(slot, bytes));
    assert.equal(lines.length, expected.length, lines.join('; '));
    for (const [i, line] of lines.entries()) assert.match(line, expected[i]!);
  };
  const at = (address: string) => `\\[(?:rel )?0*${address.replace(/^0/, '')}\\]`;
  same('slotOfSaveFlags', 16, [
    /^xor eax,eax$/,
    new RegExp(`^cmp byte ptr ${at(mask)},0$`),
    /^sete ah$/,
    /^add eax,eax$/,
  ]);
  same('slotOfDisableInterrupts', 8, [new RegExp(`^mov byte ptr ${at(mask)},1$`)]);
  const upcall = [new RegExp(`^cmp byte ptr ${at(pending)},0$`), /^je /, /^call .*FFFFFFFF8020/];
  same('slotOfEnableInterrupts', 24, [new RegExp(`^mov byte ptr ${at(mask)},0$`), ...upcall]);
  same('slotOfRestoreFlags', 32, [
    /^test edi,200h$/,
    new RegExp(`^sete (?:byte ptr )?${at(mask)}$`),
    /^je /,
    ...upcall,
  ]);
});

test('jumps inside a template end at its end', async () => {
  const { patch } = await patcher();
  for (const [slot, bytes] of [
    ['slotOfEnableInterrupts', 24],
    ['slotOfRestoreFlags', 32],
  ] as const) {
    const code = patch(slot, bytes);
    const end = hex(ADDRESS + BigInt(code.length));
    const jumps = disassemble(code).filter((line) => line.startsWith('je'));
    assert.ok(jumps.length > 0);
    for (const jump of jumps) assert.ok(jump.endsWith(end), `${jump}, not ${end}`);
  }
});

test('a template that does not fit gives way to a direct call, and that to nothing', async () => {
  const { exports, machine, patch } = await patcher();
  const target = 0xffffffff80150000n;
  for (const slot of ['slotOfSaveFlags', 'slotOfRestoreFlags', 'slotOfSetPte']) {
    machine.write(BigInt(exports[slot]!() as number), 8, target);
    assert.deepEqual(disassemble(patch(slot, 7)), [`call ${hex(target)}`], slot);
    assert.equal(patch(slot, 4).length, 0);
  }
  machine.write(BigInt(exports.slotOfSetPte!() as number), 8, 0n);
  assert.equal(patch('slotOfSetPte', 7).length, 0, 'an operation that was never set');
});

test('each site of the list is rewritten to its end, or left as it is', async () => {
  const { exports, machine, bytes } = await patcher(3);
  const code = 0x500000;
  const site = (index: number, slot: string, room: number) => {
    const entry = BigInt(SITES + index * SITE_BYTES);
    machine.write(entry, 4, BigInt(code + index * 32));
    machine.write(entry + 4n, 4, BigInt(exports[slot]!() as number));
    machine.write(entry + 8n, 2, BigInt(room));
  };
  bytes.fill(0xcc, code, code + 96);
  exports.setOperationAddress!(exports.slotOfSetPte!()!, 0x600000n);
  site(0, 'slotOfDisableInterrupts', 8);
  site(1, 'slotOfSetPte', 7);
  site(2, 'slotOfSetPmd', 7);
  exports.setOperationAddress!(exports.slotOfPatchOperation!()!, BigInt(exports.patchFunction!() as number));
  exports.applyPatches!();
  assert.deepEqual(
    [...bytes.slice(code, code + 2), bytes[code + 6], bytes[code + 7], bytes[code + 8]],
    [0xc6, 0x05, 1, 0x90, 0xcc],
  );
  const distance = 0x600000 - (code + 32 + 5);
  assert.deepEqual(
    [...bytes.slice(code + 32, code + 40)],
    [0xe8, ...[0, 8, 16, 24].map((n) => (distance >> n) & 255), 0x66, 0x90, 0xcc],
  );
  assert.ok(
    bytes.slice(code + 64, code + 96).every((byte) => byte === 0xcc),
    'an operation that was never set',
  );
  const count = (name: string) => (exports[name] as unknown as WebAssembly.Global).value;
  assert.deepEqual([count('sitesPatched'), count('sitesLeft')], [2, 1]);
});
