/**
 * Loaded into Pyright's language server. Serena (2.1, solidlsp/language_servers/pyright_server.py) waits up to a minute
 * for "Found N source files", and all its tools wait with it. In a project without a Python file Pyright says it in
 * other words, so that the first tool call in an empty project took that minute. The same words in the same length:
 * the message's Content-Length stays right.
 */
'use strict'
const says = Buffer.from('No source files found.')
const awaited = Buffer.from('Found 0 source files. ')
const write = process.stdout.write

process.stdout.write = function (chunk, ...rest) {
  if (typeof chunk !== 'string') {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const at = bytes.indexOf(says)
    if (at !== -1) awaited.copy(bytes, at)
  }
  return write.call(this, chunk, ...rest)
}
