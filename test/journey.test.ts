/**
 * docs/journey held against the project: its outputs are what its examples print, its excerpts stand in the sources, its files
 * and names exist. Where an output has changed for a good reason, `node --import tsx scripts/journey.ts --write` renews it.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Block, blocksOf, chapterNames, isExcerpt, missingIn } from './journey/chapters.ts';
import { runExamples } from './journey/examples.ts';

const chapters = chapterNames();
const blocks = chapters.flatMap(blocksOf);

function ofKind(kind: Block['kind']): Block[] {
  return blocks.filter((block) => block.kind === kind);
}

describe('the journey', () => {
  let outputs: Map<string, readonly string[]>;
  before(async () => {
    outputs = await runExamples();
  });

  it('shows what its examples print', () => {
    for (const { chapter, name, lines } of ofKind('example')) {
      const printed = outputs.get(name)?.map((line) => line.trimEnd());
      assert.ok(printed !== undefined, `${chapter}: there is no example ${name}`);
      const renew = 'node --import tsx scripts/journey.ts --write';
      assert.deepEqual(lines, printed, `${chapter}: ${name} prints something else; ${renew}`);
    }
  });

  it('shows every example once', () => {
    const shown = ofKind('example').map(({ name }) => name);
    assert.deepEqual(shown.sort(), [...outputs.keys()].sort());
  });

  it('shows nothing that is neither an output nor an excerpt', () => {
    assert.deepEqual(ofKind(undefined), []);
  });

  it('quotes the sources as they are', () => {
    const wrong = ofKind('source').filter((block) => !isExcerpt(block));
    assert.deepEqual(wrong, []);
    assert.ok(ofKind('source').length > 0);
  });

  for (const chapter of chapters) {
    it(`names what exists in ${chapter}`, () => {
      assert.deepEqual(missingIn(chapter), []);
    });
  }
});
