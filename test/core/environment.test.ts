import { expect, it } from 'vitest'
import { childEnvironment, dropSteering } from '../../core/environment.ts'
import { npmEnvironment } from '../../images/language-servers/stage.ts'

it('a program that we start sees where things are and the way out, not what a shell has set for other work', () => {
  const needed = {
    PATH: '/bin',
    HOME: '/root',
    LC_ALL: 'C.UTF-8',
    TMPDIR: '/tmp',
    https_proxy: 'http://proxy:3128',
    NO_PROXY: 'a',
    SSL_CERT_FILE: '/ca.pem',
  }
  const other = {
    TF_WORKSPACE: 'dev',
    TF_DATA_DIR: '/x',
    TF_CLI_ARGS_apply: '-destroy',
    TF_LOG: 'trace',
    TF_PLUGIN_CACHE_DIR: '/y',
    TF_REATTACH_PROVIDERS: '{}',
    PROXMOX_VE_INSECURE: 'true',
    PACKER_LOG: '1',
    GIT_DIR: '/z',
    GIT_SSH_COMMAND: 'x',
    NODE_OPTIONS: '--require x',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    LD_PRELOAD: 'x.so',
    BASH_ENV: 'x',
    ENV: 'x',
    A_PASSWORD: 'secret',
  }
  expect(childEnvironment({ ...needed, ...other })).toEqual(needed)
  expect(childEnvironment({ ...needed, ...other }, (name) => name === 'A_PASSWORD')).toEqual({ ...needed, A_PASSWORD: 'secret' })
})

it('npm gets what says where packages come from, and nothing that lays them out in another way', () => {
  const where = {
    NPM_CONFIG_REGISTRY: 'https://npm.example.org/',
    'npm_config_@me:registry': 'https://me.example.org/',
    npm_config_cafile: '/ca.pem',
    npm_config_https_proxy: 'http://proxy:3128',
    npm_config_cache: '/cache',
  }
  expect(
    npmEnvironment({
      PATH: '/bin',
      ...where,
      npm_config_install_strategy: 'linked',
      npm_config_ignore_scripts: 'false',
      npm_config_omit: '',
      NPM_CONFIG_LEGACY_PEER_DEPS: 'true',
      NODE_OPTIONS: '--inspect',
    }),
  ).toEqual({ PATH: '/bin', ...where })
})

it('what changes Node without a word is taken out of this process', () => {
  const env: NodeJS.ProcessEnv = {
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_OPTIONS: '--inspect',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    NODE_ENV: 'test',
  }
  dropSteering(env)
  expect(env).toEqual({ NODE_EXTRA_CA_CERTS: '/ca.pem', NODE_ENV: 'test' })
})
