/** Kernels for the bare machine: what is read of them, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageError } from './error.ts';
import { loadNativeImage } from './native-image.ts';
import { bzImage, elfImage, storedLz4, withSize } from './testing/elf-image.ts';

const PHYSICAL = 0x200000;

test('segments lie at their physical addresses, with the entry point as it stands', async () => {
  const contents = Uint8Array.of(1, 2, 3);
  const virtual = -0x80000000 + PHYSICAL;
  const symbols = [{ name: 'start', address: virtual }];
  const bytes = elfImage({
    physical: PHYSICAL,
    virtual,
    entry: virtual,
    contents,
    memorySize: 5000,
    notes: [],
    symbols,
  });
  const image = await loadNativeImage(bytes, 'k');
  assert.equal(image.entry, virtual);
  assert.equal(image.setupHeader, undefined);
  const [segment] = image.segments;
  assert.deepEqual(
    { ...segment, bytes: [...segment!.bytes] },
    { physical: PHYSICAL, virtual, bytes: [1, 2, 3], memorySize: 5000 },
  );
  assert.deepEqual(image.symbols.nearest(virtual + 2), { name: 'start', offset: 2 });
});

test('a 32-bit kernel is refused in one line', async () => {
  await assert.rejects(loadNativeImage(elfImage({ width: 32, physical: PHYSICAL }), 'k'), (error) => {
    assert.ok(error instanceof ImageError);
    assert.equal(error.message, 'k: a 32-bit kernel; the bare machine starts 64-bit ones (x86-64 ELF)');
    return true;
  });
});

test('a segment that does not fit where it says is refused, and one without memory is passed over', async () => {
  const top = 2 ** 32;
  const [whole] = (await loadNativeImage(elfImage({ physical: top - 0x1000, memorySize: 0x1000 }), 'k'))
    .segments;
  assert.equal(whole!.physical + whole!.memorySize, top);
  for (const [options, reason] of [
    [{ physical: top - 0x1000, memorySize: 0x1001 }, /expected physical addresses below 4 GiB/],
    [{ physical: -0x1000 }, /expected physical addresses below 4 GiB/],
    [{ physical: PHYSICAL, memorySize: 3 }, /larger in the file than in memory/],
    [{ physical: PHYSICAL, memorySize: 0 }, /nothing to load/],
  ] as const) {
    await assert.rejects(
      loadNativeImage(elfImage(options), 'k'),
      (error) => error instanceof ImageError && reason.test(error.message),
    );
  }
});

test('a bzImage hands its setup header on, as long as it says', async () => {
  const elf = elfImage({ physical: PHYSICAL });
  const file = bzImage(withSize(storedLz4(elf), elf.length));
  file[0x201] = 0x6a;
  const { setupHeader, segments } = await loadNativeImage(file, 'k');
  assert.deepEqual(setupHeader, file.slice(0x1f1, 0x202 + 0x6a));
  assert.equal(segments[0]!.physical, PHYSICAL);
});

test('any truncation is an ImageError', async () => {
  const whole = elfImage({ physical: PHYSICAL });
  for (let length = 0; length < whole.length; length += 7) {
    const read = loadNativeImage(whole.subarray(0, length), 'k');
    await read.then(
      () => {},
      (error) => assert.ok(error instanceof ImageError, `${length}: ${error}`),
    );
  }
});
