/** What people have Serena do, as a client asks for it. */
import type { McpSession } from '../clients/mcp.ts'

/**
 * Writes a Python file into a project, reads it back and finds a symbol in it.
 * @throws Error that says what was not as expected
 */
export async function workOnProject(session: McpSession, project: string, mark: string): Promise<void> {
  const expect = (what: string, text: string, wanted: string): void => {
    if (!text.includes(wanted)) throw new Error(`${what}: expected ${JSON.stringify(wanted)} in ${JSON.stringify(text.slice(0, 400))}`)
  }
  await session.call('activate_project', { project, session: 'golden-check' })
  const file = `check_${mark}.py`
  await session.call('create_text_file', {
    relative_path: file,
    content: `class Greeter_${mark}:\n    def greet(self) -> str:\n        return "${mark}"\n`,
  })
  expect('read_file', await session.call('read_file', { relative_path: file }), `Greeter_${mark}`)
  expect(
    'find_symbol',
    await session.call('find_symbol', { name_path_pattern: `Greeter_${mark}/greet`, relative_path: file, include_body: true }),
    mark,
  )
}
