import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, Decoder, DecoderOptions, type Instruction, Mnemonic, OpKind } from 'iced-x86';
import { loadKernelImage } from '../../toolstack/images/index.ts';
import { assembleTinyGuest, buildTinyGuest, VIRT_BASE } from './guest.ts';

function instructions(): Instruction[] {
  const { bytes, codeBytes } = assembleTinyGuest();
  return new Decoder(64, bytes.subarray(0, codeBytes), DecoderOptions.None).decodeAll();
}

test('a domain builder sees a 64-bit Xen kernel of one segment at VIRT_BASE', async () => {
  const image = await loadKernelImage(buildTinyGuest(), 'tiny');
  const { bytes } = assembleTinyGuest();
  assert.equal(image.width, 64);
  assert.equal(image.info.virtBase, VIRT_BASE);
  assert.equal(image.info.entry, VIRT_BASE);
  assert.equal(image.segments.length, 1);
  assert.equal(image.segments[0].virtual, VIRT_BASE);
  assert.equal(image.segments[0].physical, 0);
  assert.deepEqual(image.segments[0].bytes, bytes);
});

test('its symbols name the place of an address', async () => {
  const { symbols } = await loadKernelImage(buildTinyGuest(), 'tiny');
  const crash = symbols.addressOf('do_crash')!;
  assert.deepEqual(symbols.nearest(crash), { name: 'do_crash', offset: 0 });
  assert.deepEqual(symbols.nearest(crash + 1), { name: 'do_crash', offset: 1 });
});

test('every byte of its code decodes, and every branch lands on an instruction', () => {
  const all = instructions();
  const starts = new Set(all.map((instruction) => Number(instruction.ip)));
  for (const instruction of all) {
    assert.notEqual(instruction.code, Code.INVALID, `at ${instruction.ip}`);
    if (instruction.op0Kind !== OpKind.NearBranch64) continue;
    const target = Number(instruction.nearBranchTarget);
    assert.ok(starts.has(target), `${instruction.ip} goes to ${target}`);
  }
});

test('each of its hypercalls is SYSCALL with the number loaded right before', () => {
  const all = instructions();
  const calls = all.flatMap((instruction, i) => (instruction.mnemonic === Mnemonic.Syscall ? [i] : []));
  assert.equal(calls.length, 9);
  for (const i of calls) {
    assert.equal(all[i - 1].code, Code.Mov_rm64_imm32);
    assert.equal(all[i - 1].ip + 7n, all[i].ip);
  }
});

test('the shared page stands alone on a page of its own', () => {
  const { bytes, labels } = assembleTinyGuest();
  assert.equal(labels.get('shared_page')! % 4096, 0);
  assert.equal(bytes.length - labels.get('shared_page')!, 4096);
});

test('two builds are the same, byte for byte', () => {
  assert.deepEqual(buildTinyGuest(), buildTinyGuest());
});
