'use strict';
// From CommonJS, which every Node reads, to the modules of the command. Here Node is known to be new enough.
const fs = require('node:fs');
const path = require('node:path');
const url = require('node:url');

const file = path.join(__dirname, '..', 'dist', 'command', 'main.js');
if (fs.existsSync(file)) {
  // A timer that is open: where nothing is, Node stops until all that it compiles in the background has been compiled.
  setInterval(function () {}, 0x7fffffff);
  import(url.pathToFileURL(file).href).then(async ({ main }) => {
    // What was printed has been delivered by then; input that is still open must not keep the process.
    process.exit(await main(process.argv.slice(2)));
  });
} else {
  process.stderr.write('ringone: not built yet: run "npm ci" first\n');
  process.exitCode = 2;
}
