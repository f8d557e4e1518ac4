#!/usr/bin/env node
// Record and replay API transcripts against a PVE-compatible server. Node >= 20, no dependencies.
//   node replay.mjs record  [BASEURL] SCENARIO.jsonl... [--out DIR]
//   node replay.mjs compare [BASEURL] GOLDEN.jsonl|DIR... [--scenario NAME] [--json] [--dump DIR] [-v]
// BASEURL defaults to $PVE_URL. Credentials: PVE_ROOT_TOKEN, PVE_CI_TOKEN ("user@realm!id=secret"),
// PVE_TICKET_USER, PVE_TICKET_PASSWORD. Optional: PVE_NODE (pve), PVE_STORAGE (local), PVE_BRIDGE (vmbr0).
import https from 'node:https'
import http from 'node:http'
import fs from 'node:fs'
import path from 'node:path'

const argv = process.argv.slice(2)
const mode = argv.shift()
const opt = { out: '.', scenario: null, json: false, dump: null, v: false }
const pos = []
while (argv.length) {
  const a = argv.shift()
  if (a === '--out') opt.out = argv.shift()
  else if (a === '--scenario') opt.scenario = argv.shift()
  else if (a === '--dump') opt.dump = argv.shift()
  else if (a === '--json') opt.json = true
  else if (a === '-v') opt.v = true
  else pos.push(a)
}
const BASE = (pos[0] && /^https?:/.test(pos[0]) ? pos.shift() : process.env.PVE_URL || '').replace(/\/+$/, '').replace(/\/api2\/json$/, '')
if (!['record', 'compare'].includes(mode) || !BASE || !pos.length) {
  console.error('usage: replay.mjs record|compare [BASEURL] FILE|DIR... [--out DIR] [--scenario NAME] [--json] [--dump DIR] [-v]')
  process.exit(2)
}
const ENV = process.env
const NODE = ENV.PVE_NODE || 'pve'
const STORAGE = ENV.PVE_STORAGE || 'local'
const BRIDGE = ENV.PVE_BRIDGE || 'vmbr0'
const ROOT_TOKEN = ENV.PVE_ROOT_TOKEN || ''
const CI_TOKEN = ENV.PVE_CI_TOKEN || ''
const TICKET_USER = ENV.PVE_TICKET_USER || 'root@pam'
const TICKET_PASSWORD = ENV.PVE_TICKET_PASSWORD || ''
const [ROOT_ID] = ROOT_TOKEN.split('=')
const [CI_ID] = CI_TOKEN.split('=')
const ROOT_TID = ROOT_ID.split('!')[1] || ''
const CI_TID = CI_ID.split('!')[1] || ''
const CI_USER = CI_ID.split('!')[0]
const agent = BASE.startsWith('https')
  ? new https.Agent({ rejectUnauthorized: false, keepAlive: false })
  : new http.Agent({ keepAlive: false })
const sleep = (ms) => new Promise((r) => setTimeout(r, ms))

// ---------------------------------------------------------------- transport
function raw(method, target, headers, body) {
  return new Promise((resolve) => {
    const u = new URL(BASE)
    const lib = u.protocol === 'https:' ? https : http
    const req = lib.request(
      {
        host: u.hostname.replace(/^\[|\]$/g, ''),
        port: u.port || (u.protocol === 'https:' ? 443 : 80),
        method,
        path: target,
        agent,
        headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }) },
        timeout: 120000,
      },
      (res) => {
        const c = []
        res.on('data', (d) => c.push(d))
        const done = () =>
          resolve({
            status: res.statusCode,
            reason: Buffer.from(res.statusMessage || '', 'latin1').toString('utf8'),
            headers: res.headers,
            text: Buffer.concat(c).toString('utf8'),
          })
        res.on('end', done)
        res.on('error', done)
      },
    )
    req.on('timeout', () => req.destroy(new Error('timeout')))
    req.on('error', (e) => resolve({ status: 0, reason: 'network error: ' + (e.code || e.message), headers: {}, text: '' }))
    if (body !== undefined) req.write(body)
    req.end()
  })
}
let ticket = null
async function login() {
  if (ticket) return ticket
  const r = await raw(
    'POST',
    '/api2/json/access/ticket',
    { 'Content-Type': 'application/x-www-form-urlencoded' },
    form({ username: TICKET_USER, password: TICKET_PASSWORD }),
  )
  try {
    ticket = JSON.parse(r.text).data
  } catch {
    ticket = null
  }
  if (!ticket?.ticket) {
    ticket = { ticket: 'PVE:x', CSRFPreventionToken: 'x' }
    console.error(`warning: ticket login of ${TICKET_USER} failed: ${r.status} ${r.reason}`)
  }
  return ticket
}
const enc = (s) => encodeURIComponent(s)
function form(o) {
  return Object.entries(o)
    .flatMap(([k, v]) => (Array.isArray(v) ? v : [v]).map((x) => enc(k) + '=' + enc(String(x))))
    .join('&')
}
function multipart(m) {
  const b = '----replayboundary7MA4YWxkTrZu0gW'
  const parts = []
  for (const [k, v] of Object.entries(m.fields || {}))
    parts.push(Buffer.from(`--${b}\r\nContent-Disposition: form-data; name="${k}"\r\n\r\n${v}\r\n`))
  if (m.file) {
    const data = m.file.base64
      ? Buffer.from(m.file.base64, 'base64')
      : m.file.text !== undefined
        ? Buffer.from(m.file.text)
        : Buffer.alloc(m.file.size || 0, m.file.fill || 0)
    parts.push(
      Buffer.from(
        `--${b}\r\nContent-Disposition: form-data; name="${m.file.name || 'filename'}"; filename="${m.file.filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
      ),
      data,
      Buffer.from('\r\n'),
    )
  }
  parts.push(Buffer.from(`--${b}--\r\n`))
  return { body: Buffer.concat(parts), type: `multipart/form-data; boundary=${b}` }
}
async function authHeaders(step, vars) {
  const a = step.auth || 'root-token'
  if (a === 'none') return {}
  if (a === 'root-token') return { Authorization: `PVEAPIToken=${ROOT_TOKEN}` }
  if (a === 'ci-token') return { Authorization: `PVEAPIToken=${CI_TOKEN}` }
  if (a === 'bad-token') return { Authorization: `PVEAPIToken=${ROOT_ID}=00000000-dead-beef-0000-000000000000` }
  if (a.startsWith('token:')) return { Authorization: `PVEAPIToken=${subst(a.slice(6), vars)}` }
  if (a.startsWith('header:')) return { Authorization: subst(a.slice(7), vars) }
  if (a === 'root-ticket' || a === 'ticket') {
    const t = await login()
    const h = { Cookie: `PVEAuthCookie=${enc(t.ticket)}` }
    if (step.method !== 'GET' && step.csrf !== false) h.CSRFPreventionToken = step.csrf === 'bad' ? '00000000:bad' : t.CSRFPreventionToken
    return h
  }
  throw new Error('unknown auth ' + a)
}

// ---------------------------------------------------------------- variables and captures
function subst(x, vars) {
  if (typeof x === 'string') {
    return x.replace(/\$\{([A-Za-z0-9_]+)(\|enc)?\}/g, (m, n, e) => (n in vars ? (e ? enc(vars[n]) : String(vars[n])) : m))
  }
  if (Array.isArray(x)) return x.map((y) => subst(y, vars))
  if (x && typeof x === 'object') return Object.fromEntries(Object.entries(x).map(([k, v]) => [subst(k, vars), subst(v, vars)]))
  return x
}
// $.data.foo, $.data[0].foo, $.data[vmid=100].foo
function jp(o, p) {
  for (const t of p.replace(/^\$\.?/, '').match(/[^.[\]]+|\[[^\]]*\]/g) || []) {
    if (o === undefined || o === null) return undefined
    if (t[0] === '[') {
      const s = t.slice(1, -1)
      if (/^\d+$/.test(s)) o = o[+s]
      else {
        const [k, v] = s.split('=')
        o = Array.isArray(o) ? o.find((e) => String(e?.[k]) === v) : undefined
      }
    } else o = o[t]
  }
  return o
}
async function one(step, vars) {
  const h = await authHeaders(step, vars)
  let p = subst(step.path, vars)
  const q = step.rawQuery !== undefined ? subst(step.rawQuery, vars) : step.query ? form(subst(step.query, vars)) : ''
  let body
  if (step.multipart) {
    const m = multipart(subst(step.multipart, vars))
    body = m.body
    h['Content-Type'] = m.type
  } else if (step.body !== undefined) {
    body = subst(step.body, vars)
    h['Content-Type'] = step.contentType || 'application/x-www-form-urlencoded'
  } else if (step.json) {
    body = JSON.stringify(subst(step.json, vars))
    h['Content-Type'] = 'application/json'
  } else if (step.form) {
    body = form(subst(step.form, vars))
    h['Content-Type'] = 'application/x-www-form-urlencoded'
  } else if (['POST', 'PUT'].includes(step.method)) {
    body = ''
    h['Content-Type'] = 'application/x-www-form-urlencoded'
  }
  if (!p.startsWith('/api2/') && !step.absolute) p = '/api2/json' + p
  const r = await raw(step.method, p + (q ? '?' + q : ''), h, body)
  let json = null
  let parsed = false
  try {
    json = JSON.parse(r.text)
    parsed = true
  } catch {
    /* not json */
  }
  return {
    status: r.status,
    reason: r.reason,
    contentType: r.headers['content-type'] || null,
    json: parsed ? json : undefined,
    text: parsed ? undefined : r.text.slice(0, 400),
  }
}
const rootReq = (method, p, f) => one({ auth: 'root-token', method, path: p, form: f }, {})
async function waitTask(upid, timeout = 120) {
  const node = upid.split(':')[1] || NODE
  const end = Date.now() + timeout * 1000
  let d = null
  for (let i = 0; Date.now() < end; i++) {
    const r = await rootReq('GET', `/nodes/${node}/tasks/${enc(upid)}/status`)
    d = r.json?.data || d
    if (r.status !== 200 && i > 5) return { status: 'unknown', exitstatus: `status query answered ${r.status} ${r.reason}` }
    if (d?.status === 'stopped') break
    await sleep(i < 10 ? 150 : 500)
  }
  const u = upid.split(':')
  const full = u[7] || ''
  return {
    status: d?.status ?? 'unknown',
    exitstatus: d?.exitstatus,
    type: d?.type ?? u[5],
    id: d?.id ?? u[6],
    user: d?.user ?? full.split('!')[0],
    ...(d && 'tokenid' in d ? { tokenid: d.tokenid } : {}),
  }
}
async function purgeVms([lo, hi]) {
  for (let round = 0; round < 3; round++) {
    const l = await rootReq('GET', `/nodes/${NODE}/qemu`)
    const mine = (l.json?.data || [])
      .filter((v) => v.vmid >= lo && v.vmid <= hi)
      .sort((a, b) => (a.template ? 1 : 0) - (b.template ? 1 : 0))
    if (!mine.length) return
    for (const v of mine) {
      const b = `/nodes/${NODE}/qemu/${v.vmid}`
      if (v.status === 'running' || v.qmpstatus === 'running') {
        const r = await rootReq('POST', `${b}/status/stop`, {})
        if (typeof r.json?.data === 'string') await waitTask(r.json.data, 60)
      }
      await rootReq('PUT', `${b}/config`, { protection: 0 })
      const r = await one({ auth: 'root-token', method: 'DELETE', path: b, query: { purge: 1, 'destroy-unreferenced-disks': 1 } }, {})
      if (typeof r.json?.data === 'string') await waitTask(r.json.data, 60)
      else if (round === 2) console.error(`warning: VM ${v.vmid} could not be purged: ${r.status} ${r.reason}`)
    }
  }
}

// ---------------------------------------------------------------- normalisation
const VOL = new Set(
  (
    'cpu mem memhost disk diskread diskwrite netin netout uptime pid pstart starttime endtime ctime mtime used avail total used_fraction free ' +
    'available loadavg wait idle time localtime freemem balloon_min ballooninfo blockstat nics pressurecpusome pressurecpufull pressureiosome pressureiofull ' +
    'pressurememorysome pressurememoryfull mhz kversion pveversion cpuinfo rootfs swap ksm memory_node expire_at serverid snaptime'
  ).split(' '),
)
const VOLSTR = new Set(
  'digest ssl_fingerprint version release repoid running-qemu running-machine ticket CSRFPreventionToken secret kversion pveversion cpuinfo current-kernel boot-info path level console gecos md5 fingerprint'.split(
    ' ',
  ),
)
const known = new Set() // literal MACs/UUIDs sent by the scenario are kept
const RX = { mac: /\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b/g, uuid: /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi }
function learn(x) {
  const s = JSON.stringify(x) || ''
  for (const r of [RX.mac, RX.uuid]) for (const m of s.match(r) || []) known.add(m.toUpperCase())
}
const reEsc = (s) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
function nstr(s, key) {
  if (VOLSTR.has(key) && !(key === 'version' && !/^\d+(\.\d+)/.test(s))) return `<${key}>`
  if (key === 'tokenid' && ROOT_TID && s === ROOT_TID) return '<root-token>'
  if (key === 'tokenid' && CI_TID && s === CI_TID) return '<ci-token>'
  let t = s === '<token-secret>' ? '<uuid>' : s
  t = t.replace(/UPID:([^:\s]+):[0-9A-Fa-f]{8,}:[0-9A-Fa-f]{8,}:[0-9A-Fa-f]{8}:/g, 'UPID:$1:*:*:*:')
  for (const [id, ph] of [
    [ROOT_ID, 'root@pam!<root-token>'],
    [CI_ID, '<ci-user>!<ci-token>'],
  ])
    if (id.includes('!')) t = t.replace(new RegExp(reEsc(id), 'g'), ph)
  if (CI_USER) t = t.replace(new RegExp(`(?<![\\w@.-])${reEsc(CI_USER)}(?![\\w.-])`, 'g'), '<ci-user>')
  if (TICKET_USER && TICKET_USER !== 'root@pam')
    t = t.replace(new RegExp(`(?<![\\w@.-])${reEsc(TICKET_USER)}(?![\\w.-])`, 'g'), '<ticket-user>')
  t = t
    .replace(RX.mac, (m) => (known.has(m.toUpperCase()) ? m : '<mac>'))
    .replace(RX.uuid, (m) => (known.has(m.toUpperCase()) ? m : '<uuid>'))
  t = t.replace(/\$(?:5|6|y)\$[^\s,"]+/g, '<crypt>').replace(/PVE:[^:\s]+:[0-9A-F]{8}::\S+/g, '<ticket>')
  t = t.replace(/\b[0-9a-f]{64}\b/g, '<sha256>').replace(/\b[0-9a-f]{40}\b/g, '<sha1>')
  t = t.replace(/creation-qemu=[^,\s]+/g, 'creation-qemu=<v>').replace(/\bctime=\d+/g, 'ctime=<t>')
  t = t.replace(/ at \S*?((?:PVE|Proxmox)\/\S+\.pm) line \d+/g, ' at $1 line <n>')
  t = t.replace(/\bpid \d+/g, 'pid <n>').replace(/\b\d+(\.\d+)? ?(ms|seconds?)\b/g, '<dur>')
  t = t
    .replace(/\/\S*?\/pveupload-/g, 'pveupload-')
    .replace(/pveupload-[0-9a-f]+/g, 'pveupload-<x>')
    .replace(/upload-[0-9a-f]{6,}\b/g, 'upload-<x>')
  if (t.startsWith('invalid format - format error\n')) t = t.split('\n').sort().join('\n') // order of the lines varies
  if (key === 'content' && t.includes(',')) t = t.split(',').sort().join(',')
  return t
}
const SORT = [
  'pos',
  'n',
  'key',
  'volid',
  'id',
  'vmid',
  'storage',
  'iface',
  'userid',
  'roleid',
  'tokenid',
  'poolid',
  'name',
  'cidr',
  'group',
  'node',
  'ref',
  'subdir',
  'path',
  'macro',
]
function norm(x, key, parent) {
  if (x === undefined) return undefined
  if (typeof x === 'string') return nstr(x, key)
  if (typeof x === 'number' || x === null || typeof x === 'boolean') {
    if (typeof x === 'number') {
      if (VOL.has(key)) return '<num>'
      if ((key === 'maxdisk' || key === 'maxmem' || key === 'maxcpu') && parent && (parent.type === 'node' || parent.type === 'storage'))
        return '<num>'
    }
    return x
  }
  if (Array.isArray(x)) {
    const a = x.map((e) => norm(e, key, x))
    if (a.length && a.every((e) => e && typeof e === 'object' && !Array.isArray(e)) && !('upid' in a[0])) {
      const k = SORT.find((s) => a.every((e) => s in e))
      if (k === 'path') {
        a.sort((p, q) => (JSON.stringify([p.ugid, p.roleid, p.path]) < JSON.stringify([q.ugid, q.roleid, q.path]) ? -1 : 1))
      } else if (k && k !== 'n')
        a.sort((p, q) =>
          typeof p[k] === 'number' && typeof q[k] === 'number'
            ? p[k] - q[k]
            : String(p[k]) < String(q[k])
              ? -1
              : String(p[k]) > String(q[k])
                ? 1
                : JSON.stringify(p) < JSON.stringify(q)
                  ? -1
                  : 1,
        )
    } else if (a.length && a.every((e) => typeof e === 'string')) a.sort()
    return a
  }
  const o = {}
  for (const k of Object.keys(x).sort()) {
    if (VOL.has(k) && x[k] !== null && typeof x[k] === 'object') {
      o[k] = Array.isArray(x[k]) ? '<array>' : '<object>'
      continue
    }
    o[k] = norm(x[k], k, x)
  }
  return o
}
// key 'path' is an acl/permission path for /access answers: keep it there
const withPath = (step, fn) => {
  const keep = /\/access\/(acl|permissions)/.test(step.path)
  if (keep) VOLSTR.delete('path')
  try {
    return fn()
  } finally {
    VOLSTR.add('path')
  }
}
const typ = (x) =>
  x === null
    ? 'null'
    : Array.isArray(x)
      ? 'array'
      : x === '<num>'
        ? 'number'
        : x === '<array>'
          ? 'array'
          : x === '<object>'
            ? 'object'
            : typeof x

// ---------------------------------------------------------------- comparison
function pickList(j, step) {
  if (!j || typeof j !== 'object') return j
  let d = j.data
  if (step.pick && Array.isArray(d)) d = d.filter((e) => Object.entries(step.pick).every(([k, v]) => String(e?.[k]) === String(v)))
  return { ...j, data: d }
}
function diff(g, a, p, out, how) {
  const tg = typ(g),
    ta = typ(a)
  if (tg !== ta) {
    out.push(`${p}: expected ${tg} ${brief(g)}, got ${ta} ${brief(a)}`)
    return
  }
  if (tg === 'array') {
    if (how === 'shape') {
      if (g.length && !a.length) out.push(`${p}: expected a non-empty list`)
      if (g.length && a.length) diff(g[0], a[0], `${p}[0]`, out, how)
      return
    }
    if (g.length !== a.length) {
      out.push(`${p}: expected ${g.length} elements, got ${a.length}: ${brief(g)} / ${brief(a)}`)
      return
    }
    for (const [i, e] of g.entries()) diff(e, a[i], `${p}[${i}]`, out, how)
  } else if (tg === 'object') {
    for (const k of Object.keys(g))
      if (!(k in a)) out.push(`${p}.${k}: missing (expected ${brief(g[k])})`)
      else diff(g[k], a[k], `${p}.${k}`, out, how)
    if (how === 'exact') for (const k of Object.keys(a)) if (!(k in g)) out.push(`${p}.${k}: extra key (${brief(a[k])})`)
  } else if (how === 'exact' && g !== a) out.push(`${p}: expected ${brief(g)}, got ${brief(a)}`)
}
const brief = (x) => {
  const s = JSON.stringify(x)
  return s === undefined ? 'undefined' : s.length > 160 ? s.slice(0, 160) + '…' : s
}
function compareStep(step, g, a) {
  const how = step.compare || 'exact'
  const out = []
  if (how === 'skip') return out
  if (g.response.status !== a.response.status)
    out.push(`status: expected ${g.response.status} ${g.response.reason}, got ${a.response.status} ${a.response.reason}`)
  else if (step.reason !== false) {
    const gr = nstr(g.response.reason, ''),
      ar = nstr(a.response.reason, '')
    if (gr !== ar) out.push(`reason: expected ${brief(gr)}, got ${brief(ar)}`)
  }
  if (how === 'status') {
    if (g.task && !!a.task !== !!g.task) out.push('task: expected a task')
    else if (g.task && (g.task.exitstatus === 'OK') !== (a.task.exitstatus === 'OK'))
      out.push(`task.exitstatus: expected ${brief(g.task.exitstatus)}, got ${brief(a.task.exitstatus)}`)
    return out
  }
  if (g.response.status === a.response.status) {
    const ct = (s) => (s || '').split(';')[0].trim()
    if (g.response.json !== undefined && ct(g.response.contentType) !== ct(a.response.contentType))
      out.push(`contentType: expected ${g.response.contentType}, got ${a.response.contentType}`)
    const gj = withPath(step, () => norm(pickList(g.response.json, step))),
      aj = withPath(step, () => norm(pickList(a.response.json, step)))
    if (step.keys) {
      const sel = (j) => (Array.isArray(j?.data) ? j.data : [j?.data])
      const gs = sel(gj),
        as = sel(aj)
      if (step.pick && gs.length !== as.length) out.push(`$.data: expected ${gs.length} matching elements, got ${as.length}`)
      if (gs.length && !as.length) out.push('$.data: expected a non-empty list')
      if (gs.length && as.length)
        for (const k of step.keys) {
          const ge = gs.find((e) => e && k in e),
            ae = (step.pick ? as : as).find((e) => e && k in e)
          if (!ge) {
            if (step.absent?.includes(k) && ae) out.push(`$.data.${k}: should be absent`)
            continue
          }
          if (!ae) {
            out.push(`$.data.${k}: missing (expected ${typ(ge[k])})`)
            continue
          }
          if (typ(ge[k]) !== typ(ae[k])) out.push(`$.data.${k}: expected ${typ(ge[k])} ${brief(ge[k])}, got ${typ(ae[k])} ${brief(ae[k])}`)
          else if (step.values?.includes(k)) diff(ge[k], ae[k], `$.data.${k}`, out, 'exact')
        }
    } else if (gj === undefined) {
      if (aj !== undefined) out.push('body: expected no JSON body')
    } else diff(gj, aj, '$', out, how)
  }
  if (g.task) {
    if (!a.task) out.push(`task: expected a task (${brief(g.task)}), none returned`)
    else diff(norm(g.task), norm(a.task), 'task', out, how === 'shape' ? 'shape' : 'exact')
  }
  return out
}

// ---------------------------------------------------------------- run
const REQ = ['auth', 'csrf', 'method', 'path', 'absolute', 'query', 'rawQuery', 'form', 'json', 'body', 'contentType', 'multipart']
async function exec(step, vars) {
  if (step.do === 'purge-vms') {
    await purgeVms(step.range)
    return null
  }
  if (step.do === 'sleep') {
    await sleep(step.ms)
    return null
  }
  if (step.sleep) await sleep(step.sleep)
  learn(REQ.map((k) => step[k]))
  let r
  const end = Date.now() + (step.until?.timeout || 30) * 1000
  for (;;) {
    r = await one(step, vars)
    if (!step.until || Date.now() > end) break
    const v = jp(r.json, subst(step.until.path, vars))
    if ('equals' in step.until ? v === step.until.equals : v !== undefined) break
    await sleep(500)
  }
  for (const [k, p] of Object.entries(step.capture || {})) {
    const v = p === '$reason' ? r.reason : jp(r.json, p)
    if (v !== undefined) vars[k] = v
  }
  const res = {
    response: {
      status: r.status,
      reason: r.reason,
      contentType: r.contentType,
      ...(r.json !== undefined ? { json: r.json } : { text: r.text }),
    },
  }
  if (step.wait === 'task') {
    const u = r.json?.data
    if (typeof u === 'string' && u.startsWith('UPID:')) res.task = await waitTask(u, step.timeout || 120)
  }
  return res
}
const baseVars = () => ({ NODE, STORAGE, BRIDGE, ROOT_TOKEN_ID: ROOT_ID, CI_USER, CI_TOKEN_ID: CI_ID, TICKET_USER, TICKET_PASSWORD })
const expandFiles = (l) =>
  l.flatMap((f) =>
    fs.statSync(f).isDirectory()
      ? fs
          .readdirSync(f)
          .filter((x) => x.endsWith('.jsonl'))
          .sort()
          .map((x) => path.join(f, x))
      : [f],
  )
const read = (f) =>
  fs
    .readFileSync(f, 'utf8')
    .split('\n')
    .filter((l) => l.trim() && !l.startsWith('//'))
    .map((l) => JSON.parse(l))
// placeholders replace credentials and names of the recording host, and a few secrets
function scrub(x, key) {
  if (typeof x === 'string') {
    if (
      key === 'ticket' ||
      key === 'CSRFPreventionToken' ||
      key === 'secret' ||
      (key === 'value' && /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/.test(x) && scrub.tok)
    )
      return key === 'value' ? '<token-secret>' : `<${key}>`
    let t = x
    if (ROOT_ID.includes('!')) t = t.split(ROOT_ID).join('root@pam!<root-token>')
    if (CI_ID.includes('!')) t = t.split(CI_ID).join('<ci-user>!<ci-token>')
    if (CI_USER) t = t.split(CI_USER).join('<ci-user>')
    if (TICKET_USER !== 'root@pam') t = t.split(TICKET_USER).join('<ticket-user>')
    if (key === 'tokenid') {
      if (t === ROOT_TID) t = '<root-token>'
      else if (t === CI_TID) t = '<ci-token>'
    }
    t = t
      .replace(/ at \S*?((?:PVE|Proxmox)\/\S+\.pm) line/g, ' at $1 line')
      .replace(/\breal-qemu-img\b/g, 'qemu-img')
      .replace(/\/\S*?\/pveupload-/g, 'pveupload-')
    return t
  }
  if (Array.isArray(x)) return x.map((e) => scrub(e, key))
  if (x && typeof x === 'object') return Object.fromEntries(Object.entries(x).map(([k, v]) => [scrub(k), scrub(v, k)]))
  return x
}

const all = {}
let M = 0,
  N = 0
for (const f of expandFiles(pos)) {
  const lines = read(f)
  const vars = baseVars()
  const outLines = []
  ticket = null
  const name = lines.find((l) => l.scenario)?.scenario || path.basename(f, '.jsonl')
  if (opt.scenario && opt.scenario !== name) continue
  known.clear()
  for (const step of lines) {
    if (step.header) {
      if (mode === 'record') outLines.push(step)
      continue
    }
    const t0 = Date.now()
    const res = await exec(step, vars)
    if (mode === 'record') {
      const { response, task, ...req } = step
      if (res) {
        scrub.tok = /\/token\//.test(step.path || '')
        outLines.push({ ...req, response: scrub(res.response), ...(res.task ? { task: scrub(res.task) } : {}) })
      } else outLines.push(req)
      if (opt.v && res)
        console.error(
          `${name} ${step.step}: ${res.response.status} ${res.response.reason.slice(0, 150)}${res.task ? ' | task ' + res.task.exitstatus : ''} (${Date.now() - t0} ms)`,
        )
      continue
    }
    if (!step.response || step.compare === 'skip') continue
    const s = (all[name] ||= { ok: 0, n: 0 })
    s.n++
    N++
    const d = compareStep(step, step, res)
    if (!d.length) {
      s.ok++
      M++
      if (opt.v) console.log(`ok   ${name}/${step.step}`)
    } else if (opt.json) console.log(JSON.stringify({ scenario: name, step: step.step, method: step.method, path: step.path, diffs: d }))
    else for (const x of d) console.log(`DIFF ${name}/${step.step} ${step.method} ${step.path}: ${x}`)
    if (d.length && opt.dump) {
      fs.mkdirSync(opt.dump, { recursive: true })
      fs.appendFileSync(
        path.join(opt.dump, name + '.actual.jsonl'),
        JSON.stringify({ step: step.step, expected: step.response, actual: res.response, task: res.task }) + '\n',
      )
    }
  }
  if (mode === 'record') {
    fs.mkdirSync(opt.out, { recursive: true })
    fs.writeFileSync(path.join(opt.out, path.basename(f)), outLines.map((l) => JSON.stringify(l)).join('\n') + '\n')
    console.log(`${name}: ${outLines.filter((l) => l.response).length} steps recorded`)
  } else if (all[name]) console.log(`${name}: ${all[name].ok}/${all[name].n} steps match`)
}
if (mode === 'compare') {
  console.log(`${M}/${N} steps match`)
  process.exit(M === N ? 0 : 1)
}
