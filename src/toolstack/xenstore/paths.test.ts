import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { canonicalPath, checkPath, levelsBelow, parentPath } from './paths.ts';

describe('a path', () => {
  it('is legal with letters, digits and - / _ @ only, without empty parts', () => {
    for (const path of ['/', '/a', '/local/domain/0', '/A-b_c@9/x']) checkPath(path, 2048);
    for (const path of [
      '',
      'a',
      '/a/',
      '//',
      '/a//b',
      '/a b',
      '/a.b',
      '/ä',
      '/a\n',
      '@releaseDomain',
      '/a:',
    ]) {
      assert.throws(() => checkPath(path, 2048), /EINVAL/, JSON.stringify(path));
    }
  });

  it('may be as long as the quota, not counting the directory of a domain', () => {
    checkPath(`/${'x'.repeat(2047)}`, 2048);
    assert.throws(() => checkPath(`/${'x'.repeat(2048)}`, 2048), /EINVAL/);
    checkPath(`/local/domain/12345/${'x'.repeat(2048)}`, 2048);
    assert.throws(() => checkPath(`/local/domain/12345/${'x'.repeat(2049)}`, 2048), /EINVAL/);
    assert.throws(() => checkPath(`/${'x'.repeat(3072)}`, 100000), /EINVAL/);
  });

  it('is relative to the directory of the domain that says it', () => {
    assert.equal(canonicalPath('device/vbd', 3), '/local/domain/3/device/vbd');
    assert.equal(canonicalPath('/device', 3), '/device');
    assert.equal(canonicalPath('@releaseDomain', 3), '@releaseDomain');
  });

  it('has a parent', () => {
    assert.equal(parentPath('/a/b'), '/a');
    assert.equal(parentPath('/a'), '/');
    assert.equal(parentPath('/'), '/');
  });

  it('lies so many levels below another', () => {
    assert.equal(levelsBelow('/a/b/c', '/a'), 2);
    assert.equal(levelsBelow('/a', '/a'), 0);
    assert.equal(levelsBelow('/ab', '/a'), undefined);
    assert.equal(levelsBelow('/a', '/a/b'), undefined);
    assert.equal(levelsBelow('/a/b', '/'), 2);
    assert.equal(levelsBelow('/', '/'), 0);
  });
});
