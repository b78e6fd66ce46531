import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { oneLine, quoted, quotedValue } from './quoted.ts';

describe('quoting text of others', () => {
  it('leaves what a person can read', () => {
    assert.equal(quoted('linux 6.1, für alle'), '"linux 6.1, für alle"');
    assert.equal(quotedValue(['a', 1]), '["a",1]');
  });

  it('shows what could not be seen', () => {
    assert.equal(quoted('a\nb"c\\'), String.raw`"a\nb\"c\\"`);
    assert.equal(quoted('\x1b[2J\x7f\x9b\u2028\u202e'), String.raw`"\u001b[2J\u007f\u009b\u2028\u202e"`);
    assert.equal(quotedValue(['\x9b']), String.raw`["\u009b"]`);
    assert.equal(quoted('\u{e0001}\ud800'), String.raw`"\u{e0001}\ud800"`);
    const all = Array.from({ length: 0x10000 }, (_, code) => quoted(String.fromCharCode(code))).join('');
    assert.doesNotMatch(all, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
  });

  it('cuts what is long', () => {
    assert.equal(quoted('x'.repeat(4096)).length, 123);
    assert.equal(oneLine(`"\n${'x'.repeat(4096)}`), `"\\u000a${'x'.repeat(118)}…`);
    assert.ok(quotedValue(Array.from({ length: 1000 }, () => 'x')).length < 130);
  });
});
