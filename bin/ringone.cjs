#!/usr/bin/env node
'use strict';
// The first file of the command, in JavaScript that any Node can read: it looks at the version before anything newer
// is parsed. What it starts is src/cli/main.ts.
var major = parseInt(process.versions.node, 10);
if (major < 20) {
  process.stderr.write('ringone: Node.js 20 or later is needed, and this is ' + process.version + '\n');
  process.exitCode = 2;
} else {
  require('./start.cjs');
}
