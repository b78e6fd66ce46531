import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from './error.ts';
import { parseXlFile, parseXlOverride } from './xl-syntax.ts';

function parse(text: string): Record<string, unknown> {
  return Object.fromEntries([...parseXlFile(text, 'f')].map(([key, { value }]) => [key, value]));
}

describe("the syntax of xl's files", () => {
  it('has numbers, strings in both quotes, lists, comments, and assignments that share a line', () => {
    const text = `
      # a guest
      name = "guest" # its name
      memory=512; vcpus = 0x2
      extra = 'console=hvc0 "quoted"'
      disk = [ 'a', "b", ]
      nested = [[1, 2], []]`;
    assert.deepEqual(parse(text), {
      name: 'guest',
      memory: '512',
      vcpus: '0x2',
      extra: 'console=hvc0 "quoted"',
      disk: ['a', 'b'],
      nested: [['1', '2'], []],
    });
  });

  it('lets a list, or a line that ends in a backslash, go on in the next line', () => {
    assert.deepEqual(parse('a = [\n  1, # one\n\n  2\n]\nb = \\\n 3'), { a: ['1', '2'], b: '3' });
  });

  it('keeps the last of several values, and += appends', () => {
    assert.deepEqual(parse('a=1\na=2\ns="x"\ns+="y"\ns+=0x1\nl=[1]\nl+=[2]\nnew+="z"'), {
      a: '2',
      s: 'xy0x1',
      l: ['1', '2'],
      new: 'z',
    });
  });

  it('knows escapes in both quotes, and takes carriage returns for space', () => {
    assert.deepEqual(parse('a = "1\\n2\\t\\\\\\"#"\r\nb = 1\r\n'), { a: '1\n2\t\\"#', b: '1' });
    assert.equal(parse(String.raw`a = "\a\b\f\n\r\t\v\\\"\'"`).a, '\x07\b\f\n\r\t\v\\"\'');
    assert.equal(parse(String.raw`a = '\a\b\f\n\r\t\v\\\"\''`).a, '\x07\b\f\n\r\t\v\\"\'');
    assert.equal(parse(String.raw`a = "\x41\x62\x4A-\101\60\0601"`).a, 'AbJ-A001');
    assert.equal(parse(String.raw`a = '\x41\\x41'`).a, 'A\\x41');
  });

  it('takes escapes by number for the bytes of UTF-8', () => {
    assert.equal(parse(String.raw`a = "\xc3\xa4 \303\244 ö\xe2\x82\254"`).a, 'ä ä ö€');
    for (const text of [
      String.raw`a = "\xff"`,
      String.raw`a = "\xc3 \xa4"`,
      String.raw`a = "\xed\xa0\x80"`,
    ]) {
      assert.throws(() => parse(text), { message: 'f:1: a string whose escapes are not UTF-8' });
    }
  });

  it('takes what begins with a digit for a word of digits, as xl does', () => {
    assert.deepEqual(parse('a = 12ab\nb = 0X1F\nc = 007'), { a: '12ab', b: '0X1F', c: '007' });
  });

  it('remembers the line of each key', () => {
    assert.equal(parseXlFile('\n\na = [\n1]\n b = 2', 'dir/f.cfg').get('b')!.where, 'dir/f.cfg:5');
  });

  for (const [text, message] of [
    ['a = "open\nb = 1', 'f:1: a string is not closed before the end of its line'],
    ['\na 1', 'f:2: expected = after a, found 1'],
    ['a = ', 'f:1: expected a number, a quoted string or a list, found the end of the file'],
    ['a = b', 'f:1: expected a number, a quoted string or a list, found b'],
    ['a = 1 2', 'f:1: expected the end of the line after a, found 2'],
    ['a = [1 2]', 'f:1: expected , or ] in a list, found 2'],
    ['a = [1,\n', 'f:2: expected a number, a quoted string or a list, found the end of the file'],
    ['1 = a', 'f:1: expected a key, found 1'],
    ['a = 12xyz', 'f:1: unexpected "12xyz"'],
    ['a = -1', 'f:1: unexpected "-1"'],
    ['a = {', 'f:1: unexpected "{"'],
    ['a = 1\na += ["x"]', 'f:2: a: += joins two strings or two lists'],
    [
      '\na = "C:\\q"',
      'f:2: there is no escape \\q in a string; expected one of \\\\ \\" \\\' \\a \\b \\f \\n \\r \\t \\v, \\xHH or \\OOO',
    ],
    ["a = '\\x4'", 'f:1: an escape \\x without two hexadecimal digits'],
    ["a = '\\x'", 'f:1: an escape \\x without two hexadecimal digits'],
    ['a = "\\400"', 'f:1: an escape \\400 that is no byte'],
    ['a = "\\0"', 'f:1: an escape \\0 that would end the string'],
    ['a = "\\x00"', 'f:1: an escape \\x00 that would end the string'],
    [
      'a = "\\\u0001"',
      'f:1: there is no escape \\\\u0001 in a string; expected one of \\\\ \\" \\\' \\a \\b \\f \\n \\r \\t \\v, \\xHH or \\OOO',
    ],
  ]) {
    it(`names the place of the mistake in ${JSON.stringify(text)}`, () => {
      assert.throws(() => parse(text), { name: 'ConfigError', message });
    });
  }
});

describe('a domain file of any size and depth', () => {
  const deep = '['.repeat(5000);
  const tooDeep = 'expected lists at most 16 deep, found a deeper one';

  it('is refused where lists are deeper than any key wants them, and never ends in a full stack', () => {
    assert.throws(() => parse(`\ndisk = ${deep}`), { name: 'ConfigError', message: `f:2: ${tooDeep}` });
    assert.throws(() => parse(`disk = ${deep}${']'.repeat(5000)}`), { name: 'ConfigError' });
    // What is no list is a word, and a word may be anything; its place is shown short.
    assert.deepEqual(parseXlOverride(`disk=${deep}`), {
      key: 'disk',
      value: deep,
      where: `disk=${'['.repeat(115)}…`,
    });
    assert.deepEqual(parse('a = [[[[1]]]]').a, [[[['1']]]]);
  });

  it('is refused where it is larger than any domain needs', () => {
    const message = 'f: expected a configuration of at most 1048576 characters, found 10485768';
    assert.throws(() => parse(`extra = "${'x'.repeat(10 << 20)}`.slice(0, 10485768)), {
      name: 'ConfigError',
      message,
    });
  });

  for (const [what, start, part, end] of [
    ['one string', 'a = "', 'x', '"'],
    ['one string of escapes', "a = '", "\\'", "'"],
    ['one string of bytes', "a = '", '\\x41', "'"],
    ['one string with an escape', "a = '\\x41", 'ä', "'"],
    ['one string that is not closed', 'a = "', '\\"', ''],
    ['spaces', 'a = 1', ' ', ''],
    ['empty lines and comments', '', '#\n', ''],
    ['continued lines', 'a = 1', '\\\n', ''],
    ['one name', '', 'a', ' = 1'],
    ['one number', 'a = ', '1', ''],
    ['one flat list', 'a = [', '1,', ']'],
    ['a list that grows word by word', 'a = []', '\na+=[1]', ''],
    ['a string that grows word by word', 'a = ""', '\na+="x"', ''],
  ] as const) {
    it(`is read to its end: a mebibyte of ${what}`, () => {
      const text =
        start + part.repeat(Math.floor(((1 << 20) - start.length - end.length) / part.length)) + end;
      try {
        parse(text);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        assert.ok(error.message.length < 200, error.message.slice(0, 200));
      }
    });
  }
});

describe('a message about a configuration', () => {
  const long = 'a'.repeat(1000);
  for (const text of [
    `a = ${long}`,
    `${long} 1`,
    `a = 1 ${long}`,
    `${long} = 1 2`,
    `${long} = 1\n${long} += [1]`,
  ]) {
    it(`is short, whatever the file holds: ${text.replaceAll(/a{99,}/g, 'a…')}`, () => {
      assert.throws(
        () => parse(text),
        ({ message }: Error) => message.length < 300 && message.includes('a…'),
      );
    });
  }
});

describe('key=value on the command line', () => {
  it('is read as in a file, and a value without quotes is a string', () => {
    assert.deepEqual(parseXlOverride('memory=256').value, '256');
    assert.deepEqual(parseXlOverride('name="x"').value, 'x');
    assert.deepEqual(parseXlOverride('disk=[]').value, []);
    assert.deepEqual(parseXlOverride('extra=console=hvc0 quiet').value, 'console=hvc0 quiet');
    assert.deepEqual(parseXlOverride('kernel=/boot/vmlinuz-6.1').value, '/boot/vmlinuz-6.1');
    assert.deepEqual(parseXlOverride('root=').value, '');
    assert.deepEqual(parseXlOverride('name="\\x41"').value, 'A');
    assert.throws(() => parseXlOverride('name="\\q"'), { message: /^name="\\q": there is no escape \\q / });
  });

  it('is refused without a key', () => {
    assert.throws(() => parseXlOverride('=1'), new ConfigError('=1', 'expected key=value'));
    assert.throws(() => parseXlOverride('a\nb'), new ConfigError('a\\u000ab', 'expected key=value'));
  });
});
