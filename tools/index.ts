/** Provides the external programs of this project. See README.md in this folder for the rules. */
export type { ToolEvent, Report } from './events.ts'
export { PINS, TOOL_NAMES, TOOL_SETS, type Origin, type Tool, type ToolName } from './pins.ts'
export { prepareEnvironment, toolEnvironment, type EnvironmentOptions, type PreparedEnvironment, type Program } from './environment.ts'
export type { EngineName as Engine } from './registry.ts'
export { ensureTool, ensureTools, haveTools, startTools, type ToolOptions } from './start.ts'
export { lookForPrograms, type ProgramSeen } from './look.ts'
