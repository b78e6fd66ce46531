/** The generated constants of the guest's side against the descriptions that they are made from. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GUEST_STRUCTURES, guestStructures } from '../../../scripts/guest-abi.ts';

test('the structures of the guest are those that the host describes', () => {
  assert.equal(readFileSync(GUEST_STRUCTURES, 'utf8'), guestStructures());
});
