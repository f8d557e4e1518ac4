/** Serena's own configuration (serena_config.yml of Serena 2.1), rendered at each start: nothing of it is state. */
import type { Seed } from '../contract/seed.ts'

/** Paths as Serena's container sees them. */
export const serenaHome = '/var/lib/serena'
export const serenaProjects = '/workspaces/projects'
export const languageServers = '/opt/golden/language-servers'

/** The pair for which Serena has a folder without versions in its name (its INITIAL_… constants, which it never changes). */
export const typescriptVersions = { typescript: '5.9.3', languageServer: '5.1.3' } as const

/**
 * Where Serena looks for the TypeScript that it may load for a project, relative to its home: a project that is not
 * trusted must not bring its own. There the start puts a link to the language servers of the image.
 */
export const typescriptHome = 'language_servers/static/TypeScriptLanguageServer/ts-lsp'

export interface SerenaPlaces {
  /** @default '/workspaces/projects' */
  readonly projects?: string
  /** @default '/opt/golden/language-servers' */
  readonly languageServers?: string
}

/**
 * JSON, which is YAML. `projects` are folder names; all are registered, so that clients activate them by name.
 * No project is trusted: its own settings can't name programs to run, and its links can't lead out of it.
 */
export function serenaConfiguration(settings: NonNullable<Seed['serena']>, projects: readonly string[], places: SerenaPlaces = {}): string {
  const servers = places.languageServers ?? languageServers
  const root = places.projects ?? serenaProjects
  const configuration = {
    language_backend: 'LSP',
    agent_interface: settings.interface === 'repl' ? 'REPL' : 'tools',
    gui_log_window: false,
    web_dashboard: false,
    web_dashboard_open_on_launch: false,
    log_level: 20,
    trace_lsp_communication: false,
    ls_specific_settings: {
      python: { ls_path: `${servers}/bin/pyright-langserver` },
      typescript: {
        ls_path: `${servers}/bin/typescript-language-server`,
        typescript_version: typescriptVersions.typescript,
        typescript_language_server_version: typescriptVersions.languageServer,
      },
    },
    tool_timeout: 240,
    excluded_tools: settings.shell ? [] : ['execute_shell_command'],
    excluded_apis: settings.shell ? [] : ['shell'],
    base_modes: ['interactive', 'editing'],
    token_count_estimator: 'CHAR_COUNT',
    trusted_project_path_patterns: [],
    projects: projects.map((name) => `${root}/${name}`),
  }
  return JSON.stringify(configuration, null, 2) + '\n'
}

/** Where Serena keeps a project's own settings; with it a project can be activated by its name. */
export const projectSettingsFile = '.serena/project.yml'

/**
 * Settings of a project that brings none: both language servers that the image has. Left alone, Serena would look at
 * the files of the first activation, and an empty folder would stay without any. JSON, which is YAML.
 */
export function projectSettings(name: string): string {
  return JSON.stringify({ project_name: name, language_servers: ['python', 'typescript'] }, null, 2) + '\n'
}
